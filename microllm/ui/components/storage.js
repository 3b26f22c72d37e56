// Keeps a draft in this tab and in the browser: of two tabs each finds its own again, and a new one that of the last.
// data: asked, a name that a server asks under; draft, what to keep; answered, whether it has taken what was held.

const NAME = "microllm-draft"
const TAB = "sessionStorage"
const BROWSER = "localStorage"

const read = (place) => {
  try {
    return window[place].getItem(NAME)
  } catch {
    return null // a browser may refuse
  }
}

const write = (place, draft) => {
  try {
    if (window[place].getItem(NAME) !== draft) window[place].setItem(NAME, draft)
  } catch {}
}

export default function ({ data, parentElement: root, setStateValue }) {
  const box = root.querySelector("i")
  const state = (box.state ??= { asked: null, waits: false })
  if (data.answered) state.waits = false
  else if (state.asked !== data.asked) {
    const mine = read(TAB)
    const draft = mine ?? read(BROWSER)
    state.waits = draft !== null && draft !== data.draft
    if (state.waits) setStateValue("held", { asked: data.asked, draft, mine: mine !== null })
  }
  state.asked = data.asked
  if (state.waits) return
  write(TAB, data.draft)
  write(BROWSER, data.draft)
}
