"""The Experiments page: questions that are answered by training, and challenges."""

from microllm.ui import shell

shell.enter("pages/experiments.py", "Experiments", has_sidebar=False)

from microllm.ui.parts import experiments
from microllm.ui.state.view import look

experiments.experiments(look())
