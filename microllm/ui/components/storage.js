// Keeps what belongs to a person in their own browser: the owner keys of their runs, which all tabs share, the draft of
// their next run, the cards of the path that they have finished and what they made there, and what they predicted in
// experiments without a run of their own. (guess.js keeps their guessing games.) Each of two tabs finds its own draft,
// path and games again, and a new tab the newest.
// `data`: asked (another word at each drawing until the server has an answer, then null), draft (what to keep; null: what it has), keep
// (pairs of a run's id and its key), drop (ids of runs), done (ids of cards), path (what was made on them), predictions
// (pairs of an experiment and a prediction), forget (whether to remove everything and start over).

const KEYS = "microllm-keys"
const DRAFT = "microllm-draft"
const DONE = "microllm-done"
const PATH = "microllm-path"
const PREDICTIONS = "microllm-predictions"
const PROBE = "microllm-probe"
const MAX_KEYS = 200 // the newest are kept
const MAX_DONE = 100
const MAX_PREDICTIONS = 20

const remove = (place, name) => attempt(() => window[place].removeItem(name))

const isRefused = () =>
  attempt(() => {
    window[BROWSER].setItem(PROBE, "")
    window[BROWSER].removeItem(PROBE)
    return true
  }) === null

const readPairs = (name) => attempt(() => new Map(JSON.parse(stored(BROWSER, name)))) ?? new Map() // null, or not ours

const changeKeys = (keep, drop) => {
  const keys = readPairs(KEYS)
  for (const [run, key] of keep) {
    keys.delete(run) // to the end, where the newest are
    keys.set(run, key)
  }
  for (const run of drop) keys.delete(run)
  store(BROWSER, KEYS, JSON.stringify([...keys].slice(-MAX_KEYS)))
}

const readDone = () => attempt(() => [...JSON.parse(stored(BROWSER, DONE))]) ?? [] // null, or not ours

// A link with a key came in. The server has the key now; Back must not bring it to the address again.
const cleanAddress = () => {
  const parts = location.search.slice(1).split("&")
  const others = parts.filter((part) => !/^(key|also)=/.test(part))
  if (others.length === parts.length) return
  const query = others.length ? `?${others.join("&")}` : ""
  history.replaceState(history.state, "", location.pathname + query + location.hash)
}

const startOver = () => {
  window.hasForgotten = true
  for (const name of [DRAFT, KEYS, DONE, PATH, PREDICTIONS, GAMES]) for (const place of [TAB, BROWSER]) remove(place, name)
  location.replace(location.pathname)
}

export default function ({ data, parentElement: root, setTriggerValue }) {
  const box = root.querySelector("i")
  const state = (box.state ??= { kept: new Set() })
  if (window.hasForgotten) return
  window.onstorage = ({ key, newValue }) => key === KEYS && newValue === null && startOver() // in another tab
  if (data.forget) return startOver()
  cleanAddress()
  const added = data.keep.filter(([run]) => !state.kept.has(run)) // once, so that another tab can drop it
  if (added.length || data.drop.length) changeKeys(added, data.drop)
  for (const [run] of added) state.kept.add(run)
  if (data.done.length) store(BROWSER, DONE, JSON.stringify([...new Set([...readDone(), ...data.done])].slice(0, MAX_DONE)))
  if (data.predictions.length) {
    const all = new Map([...readPairs(PREDICTIONS), ...data.predictions])
    store(BROWSER, PREDICTIONS, JSON.stringify([...all].slice(-MAX_PREDICTIONS)))
  }
  if (data.asked === null) {
    if (data.draft !== null) keep(DRAFT, data.draft)
    keep(PATH, data.path)
  } else if (state.asked !== data.asked) {
    const mine = stored(TAB, DRAFT)
    const draft = kept(DRAFT)
    const games = kept(GAMES)
    const path = kept(PATH)
    const keys = [...readPairs(KEYS)].slice(-MAX_KEYS)
    const predictions = [...readPairs(PREDICTIONS)]
    const refused = isRefused()
    setTriggerValue("told", { keys, draft, mine: mine !== null, games, done: readDone(), path, predictions, refused })
  }
  state.asked = data.asked
}
