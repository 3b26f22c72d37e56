// Keeps what belongs to a person in their own browser: the owner keys of their runs, which all tabs share, the draft of
// their next run, the cards of the path that they have finished, and what they predicted in experiments without a run of
// their own. Each of two tabs finds its own draft again, and a new tab the newest.
// `data`: asked (another word at each drawing until the server has an answer, then null), draft (what to keep), keep
// (pairs of a run's id and its key), drop (ids of runs), done (ids of cards), predictions (pairs of an experiment and a
// prediction), forget (whether to remove everything and start over).

const KEYS = "microllm-keys"
const DRAFT = "microllm-draft"
const DONE = "microllm-done"
const PREDICTIONS = "microllm-predictions"
const PROBE = "microllm-probe"
const MAX_KEYS = 200 // the newest are kept
const MAX_DONE = 100
const MAX_PREDICTIONS = 20
const TAB = "sessionStorage"
const BROWSER = "localStorage"

const attempt = (action) => {
  try {
    return action()
  } catch {
    return null // the browser may not allow it
  }
}

const read = (place, name) => attempt(() => window[place].getItem(name))

const write = (place, name, value) => {
  if (read(place, name) !== value) attempt(() => window[place].setItem(name, value))
}

const remove = (place, name) => attempt(() => window[place].removeItem(name))

const isRefused = () =>
  attempt(() => {
    window[BROWSER].setItem(PROBE, "")
    window[BROWSER].removeItem(PROBE)
    return true
  }) === null

const readPairs = (name) => attempt(() => new Map(JSON.parse(read(BROWSER, name)))) ?? new Map() // null, or not ours

const changeKeys = (keep, drop) => {
  const keys = readPairs(KEYS)
  for (const [run, key] of keep) {
    keys.delete(run) // to the end, where the newest are
    keys.set(run, key)
  }
  for (const run of drop) keys.delete(run)
  write(BROWSER, KEYS, JSON.stringify([...keys].slice(-MAX_KEYS)))
}

const readDone = () => attempt(() => [...JSON.parse(read(BROWSER, DONE))]) ?? [] // null, or not ours

// A link with a key came in. The server has the key now; Back must not bring it to the address again.
const cleanAddress = () => {
  const parts = location.search.slice(1).split("&")
  const others = parts.filter((part) => !/^(key|also)=/.test(part))
  if (others.length === parts.length) return
  const query = others.length ? `?${others.join("&")}` : ""
  history.replaceState(history.state, "", location.pathname + query + location.hash)
}

const startOver = (state) => {
  state.hasLeft = true
  for (const name of [DRAFT, KEYS, DONE, PREDICTIONS]) for (const place of [TAB, BROWSER]) remove(place, name)
  location.replace(location.pathname)
}

export default function ({ data, parentElement: root, setTriggerValue }) {
  const box = root.querySelector("i")
  const state = (box.state ??= { kept: new Set(), hasLeft: false })
  if (state.hasLeft) return
  window.onstorage = ({ key, newValue }) => key === KEYS && newValue === null && startOver(state) // in another tab
  if (data.forget) return startOver(state)
  cleanAddress()
  const keep = data.keep.filter(([run]) => !state.kept.has(run)) // once, so that another tab can drop it
  if (keep.length || data.drop.length) changeKeys(keep, data.drop)
  for (const [run] of keep) state.kept.add(run)
  if (data.done.length) write(BROWSER, DONE, JSON.stringify([...new Set([...readDone(), ...data.done])].slice(0, MAX_DONE)))
  if (data.predictions.length) {
    const all = new Map([...readPairs(PREDICTIONS), ...data.predictions])
    write(BROWSER, PREDICTIONS, JSON.stringify([...all].slice(-MAX_PREDICTIONS)))
  }
  if (data.asked === null) {
    write(TAB, DRAFT, data.draft)
    write(BROWSER, DRAFT, data.draft)
  } else if (state.asked !== data.asked) {
    const mine = read(TAB, DRAFT)
    const draft = mine ?? read(BROWSER, DRAFT)
    const keys = [...readPairs(KEYS)].slice(-MAX_KEYS)
    const predictions = [...readPairs(PREDICTIONS)]
    setTriggerValue("told", { keys, draft, mine: mine !== null, done: readDone(), predictions, refused: isRefused() })
  }
  state.asked = data.asked
}
