// Keeps a draft for this tab and for the browser: each of two tabs finds its own again, and a new tab the newest.
// `data`: asked (the name under which the server asks), draft (what to keep), answered (whether the server has the answer).

const NAME = "microllm-draft"
const TAB = "sessionStorage"
const BROWSER = "localStorage"

const read = (place) => {
  try {
    return window[place].getItem(NAME)
  } catch {
    return null // the browser may not allow it
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
