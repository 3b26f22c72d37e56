// Reads and writes what a browser keeps for a person: in the tab, which a reload leaves as it is, and in the browser, for
// a new tab. Nothing is written any more once the person has made the browser forget.

const GAMES = "microllm-games"
const TAB = "sessionStorage"
const BROWSER = "localStorage"

const attempt = (action) => {
  try {
    return action()
  } catch {
    return null // the browser may not allow it
  }
}

const stored = (place, name) => attempt(() => window[place].getItem(name))

const store = (place, name, value) => {
  if (!window.hasForgotten && stored(place, name) !== value) attempt(() => window[place].setItem(name, value))
}

const keep = (name, value) => {
  for (const place of [TAB, BROWSER]) store(place, name, value)
}

const kept = (name) => stored(TAB, name) ?? stored(BROWSER, name)
