"""The Streamlit app, in layers: server < presence < state < parts < shell < pages < app.py. None imports a later one.

How to add
- a page: `pages/NAME.py`, which calls `shell.enter`, then `look`, then one function per part; and one line in `app.py`.
- a part: a public function in `parts/` that draws something. Its first argument is the `View` it shows. Whatever
  changes while a run trains is passed to `live`, which redraws it with a new `View` at each tick.
- a knob: one field in `config.py` with its range and help. The control (`parts/settings.py`, under “More settings”),
  the command-line flag, the link and the validation all follow from it.
- a card of the path on Learn: see `state/path.py`.
Choices of a window belong in `state/session.py`. What all windows share belongs in `server.py`. Callbacks that change a
run belong in `state/commands.py`, which checks ownership when the click arrives.
"""
