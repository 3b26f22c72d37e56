"""The Experiments page: questions that are answered by training, and challenges."""

from microllm.ui import shell

shell.enter("pages/experiments.py", "Experiments", has_sidebar=False)

from microllm.ui.parts import experiments, run_line
from microllm.ui.state.view import look

view = look()
run_line.knocked_out(view, is_whole=True)
experiments.experiments(view)
