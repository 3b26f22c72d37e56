"""The page Learn, the front door: a run as a film, the path through all pages step by step, and the glossary."""

from microllm.ui import shell
from microllm.ui.parts import front

shell.enter("pages/learn.py", "Learn", front.first_paint, has_about=False, has_sidebar=False)

from microllm.ui.parts import glossary, path_cards, run_line, twins
from microllm.ui.state.view import look

view = look()
section = front.sections()
run_line.knocked_out(view, is_whole=True)
if section == front.WATCH:
    front.front()
elif section == front.PATH:
    path_cards.path_cards(view)
elif section == front.TWINS:
    twins.twins(view)
else:
    glossary.glossary(view)
