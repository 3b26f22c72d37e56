"""The router: `streamlit run app.py`."""

from pathlib import Path

import streamlit as st

from microllm.ui import shell

st.set_page_config(
    page_title="MicroLLM", page_icon=str(Path(__file__).parent / "microllm" / "ui" / "icon.png"), layout="wide"
)


def front_door() -> None:
    """Open the first page; a link to a run or with settings opens Train, as it always did."""
    given = st.query_params.to_dict()
    st.switch_page(TRAIN if given else LEARN, query_params=given)


LEARN = st.Page("pages/learn.py", title="Learn", icon=":material/school:", url_path="learn")
TRAIN = st.Page("pages/train.py", title="Train", icon=":material/model_training:", url_path="train")
PAGES = [
    # the front door has its own address, so that no link changes when another page becomes the first
    st.Page(front_door, title="MicroLLM", url_path="home", default=True, visibility="hidden"),
    LEARN,
    TRAIN,
    st.Page("pages/attention.py", title="Attention", icon=":material/visibility:", url_path="attention"),
    st.Page("pages/inside.py", title="Inside", icon=":material/account_tree:", url_path="inside"),
    st.Page("pages/generate.py", title="Generate", icon=":material/edit_note:", url_path="generate"),
    st.Page("pages/experiments.py", title="Experiments", icon=":material/science:", url_path="experiments"),
]

shell.show(st.navigation(PAGES, position="top"))
