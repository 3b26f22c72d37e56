// Characters above their ids; or windows of inputs and targets, one row each, where pointing at a place shows what is
// to be predicted from what. `data`: kind ("ids" or "batch"), and glyphs and ids, or rows (inputs, targets, inputs, ...).
// Reports once for each batch that somebody `pointed` at it.

const FIRST = 7 // the place that is shown before anybody points

const cell = (words, className) => Object.assign(document.createElement("span"), { textContent: words, className })

const showIds = (place, { glyphs, ids }) => {
  place.replaceChildren(
    ...glyphs.map((glyph, i) => {
      const pair = cell("", "pair")
      pair.append(cell(alone(glyph), "glyph"), cell(String(ids[i]), "id"))
      return pair
    }),
  )
}

class Batch {
  constructor(root) {
    this.place = root.querySelector(".rows")
    this.words = root.querySelector(".words")
    this.place.tabIndex = 0
    this.place.setAttribute("role", "group")
    this.place.setAttribute("aria-label", "A batch: move with the arrow keys")
    this.place.onpointermove = this.place.onpointerdown = (event) => this.#point(event)
    this.place.onkeydown = (event) => this.#key(event)
    this.at = [0, FIRST]
  }

  show(rows, tell) {
    this.tell = tell
    if (JSON.stringify(rows) === this.drawn) return
    this.drawn = JSON.stringify(rows)
    this.isNew = true
    this.rows = rows
    this.at = [0, Math.min(FIRST, rows[0].length - 1)]
    this.cells = rows.map((row) => row.map((glyph) => cell(alone(glyph), "cell")))
    const windows = []
    for (let i = 0; i < rows.length; i += 2) {
      const both = cell("", "window")
      for (const [name, cells] of [["inputs", this.cells[i]], ["targets", this.cells[i + 1]]]) {
        const line = cell("", `line ${name}`)
        const letters = cell("", "letters")
        letters.style.setProperty("--columns", cells.length)
        letters.append(...cells)
        line.append(cell(name, "name"), letters)
        both.append(line)
      }
      windows.push(both)
    }
    this.place.replaceChildren(...windows)
    this.#mark()
  }

  #point({ clientX, clientY, target }) {
    const found = target.getRootNode().elementFromPoint(clientX, clientY)
    const row = this.cells.findIndex((cells) => cells.includes(found))
    if (row >= 0) this.#goTo([row >> 1, this.cells[row].indexOf(found)])
  }

  #key(event) {
    const to = walkGrid(this.at, [this.rows.length / 2, this.rows[0].length], event.key)
    if (!to) return
    event.preventDefault()
    this.#goTo(to)
  }

  #goTo(at) {
    if (this.isNew) this.tell()
    this.isNew = false
    if (String(at) === String(this.at)) return
    this.at = at
    this.#mark()
  }

  #mark() {
    const [window, t] = this.at
    this.cells.forEach((cells, row) =>
      cells.forEach((one, i) => {
        const isHere = row >> 1 === window
        one.classList.toggle("seen", isHere && row % 2 === 0 && i <= t)
        one.classList.toggle("target", isHere && row % 2 === 1 && i === t)
        one.classList.toggle("same", isHere && row % 2 === 0 && i === t + 1)
      }),
    )
    const seen = this.rows[2 * window].slice(0, t + 1).map(alone).join("")
    const target = this.rows[2 * window + 1][t]
    this.words.replaceChildren(
      "After ", cell(isolated(seen), "quoted"), " the model has to predict ", cell(isolated(alone(target)), "quoted"), ".",
    )
  }
}

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".tokens")
  const [shown] = data
  root.classList.toggle("batch", shown.kind === "batch")
  if (shown.kind === "ids") showIds(root.querySelector(".rows"), shown)
  else (root.batch ??= new Batch(root)).show(shown.rows, () => setTriggerValue("pointed", true))
}
