// The model as one picture of its parts: columns are the characters of the sentence, rows the parts from top to bottom,
// and after each layer what the model would write if it ended there (logit lens). Beside it one part is open: its numbers
// as a heatmap. `data` is made by ui/parts/inside.py. `chosen` and `opens` are "stage layer head".

const CELL = 12 // pixels: the width of a character's column
const LINE = 22 // pixels: the height of a row of the picture
const COLUMNS = {
  number: "Rows: characters · columns: numbers of its vector",
  character: "Rows: characters that attend (queries) · columns: characters attended to (keys)",
  vocabulary: "Rows: characters · columns: possible next characters",
  id: "Each row: a character and its id",
}
const KINDS = { pattern: "attention", probabilities: "chance", characters: "id" } // of the numbers of a stage

const element = (tag, className, words) => {
  const made = document.createElement(tag)
  if (className) made.className = className
  if (words !== undefined) made.textContent = words
  return made
}

// What does not change stays as it is: a selection in it, and the place of a screen reader.
const say = (place, words) => {
  if (place.textContent !== words) place.textContent = words
}

// A number with three decimals; large ones have one, tiny ones an exponent.
const digits = (value) => {
  if (Number.isInteger(value)) return value.toLocaleString("en").replace("-", "−")
  const size = Math.abs(value)
  return (size >= 100 ? value.toFixed(1) : size >= 0.001 ? value.toFixed(3) : value.toExponential(1)).replace("-", "−")
}

const floats = (text) => new Float32Array(bytes(text).buffer)

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".inside")
  const find = (name) => root.querySelector(name)
  const state = (root.state ??= { hover: null, choice: new Choice(), place: new Choice() })
  const { open, text, place, lens, stops } = data
  const [from, to] = data.context
  const N = text.length

  const { attention, text: ink, positive, negative } = data.colors
  const [green, gray, above, below] = [attention, ink, positive, negative].map((hue) => glow(root, hue))
  const color = (name, otherwise) => rgb(getComputedStyle(root).getPropertyValue(name) || otherwise)
  const ground = color("--st-background-color", "#ffffff")
  const beyond = color("--st-secondary-background-color", "#eeeeee")

  const quoted = (glyph) => `“${isolated(alone(glyph))}”`
  const named = (k) => `${quoted(text[k])} (${k + 1})`

  // for screen readers: only what the user did, not each tick of the training
  const announce = (words) => say(find(".status"), words)

  state.choice.update(data.chosen, (value) => setTriggerValue("chosen", value))
  state.place.update(place, (value) => setTriggerValue("picked", value))
  const choose = (value) => {
    if (value === state.choice.shown) return
    state.choice.make(value, root)
    showStop()
  }
  const pick = (k) => {
    if (k === state.place.shown) return
    state.place.make(k, root)
    showPlace()
    showGuess()
  }

  // A button that opens a part; `id` tells it from the others of its place.
  const opener = (className, words, opens, id) => {
    const made = element("button", className, words)
    made.type = "button"
    made.dataset.opens = opens
    made.dataset.id = id
    made.onclick = () => choose(made.dataset.opens)
    return made
  }

  // Replace what is in a place; the button that had the focus has it again.
  const active = () => root.getRootNode().activeElement
  const rebuild = (where, children) => {
    const focused = where.contains(active()) ? active().dataset.id : undefined
    where.replaceChildren(...children)
    const again = focused && [...where.querySelectorAll("button")].find((button) => button.dataset.id === focused)
    if (again) again.focus({ preventScroll: true })
  }

  // ---- the picture: its rows are built again only when there are others

  const picture = find(".picture")
  const board = find(".rows")
  const cellsOf = (row) => {
    if (row.kind === "text" || row.kind === "lens")
      return text.map((glyph) => {
        const cell = element("span", "", row.kind === "text" ? alone(glyph) : "")
        cell.setAttribute("role", "gridcell")
        cell.tabIndex = -1
        return cell
      })
    if (row.kind === "heads")
      return Array.from({ length: data.heads }, (_, h) => {
        const button = opener("head", "", "", `head ${h}`)
        button.title = button.ariaLabel = `Layer ${row.layer + 1}, head ${h + 1}`
        button.append(element("canvas"))
        button.firstChild.ariaHidden = "true"
        return button
      })
    const strip = element("canvas", "strip")
    strip.ariaHidden = "true"
    return [strip]
  }
  const lineOf = (row, r) => {
    const line = element("div", `line ${row.kind}`)
    line.setAttribute("role", "row")
    const label = element("div", "label")
    label.setAttribute("role", "rowheader")
    label.append(element("i", row.strip ? "stream adds" : "stream"))
    label.firstChild.ariaHidden = "true"
    const name = row.opens ? opener("opener", "", row.opens, `row ${r}`) : label
    name.append(element("span", "", row.label), element("small", "", row.size ?? ""))
    if (row.opens) label.append(name)
    const cells = element("div", "cells")
    cells.setAttribute("role", row.kind === "heads" ? "gridcell" : "presentation")
    cells.append(...cellsOf(row))
    line.append(label, cells)
    return line
  }

  const shape = data.rows.map(({ kind, label, size, layer }) => [kind, label, size, layer].join(" ")).join("\n")
  const words = text.join("\u0000")
  if (state.shape !== shape || state.words !== words) {
    const { scrollLeft, scrollTop } = picture
    const isOther = state.words !== words
    Object.assign(state, { shape, words, hover: null, tab: [0, place] })
    root.style.setProperty("--characters", N)
    root.style.setProperty("--heads", data.heads)
    rebuild(board, data.rows.map(lineOf))
    state.lines = [...board.children].map((line) => ({ line, cells: [...line.querySelectorAll("span[role=gridcell]")] }))
    state.lines[0].cells[place].tabIndex = 0
    picture.scrollTop = scrollTop
    picture.scrollLeft = isOther ? place * CELL - picture.clientWidth / 2 : scrollLeft
  }
  const lines = state.lines.map((one, r) => ({ ...one, row: data.rows[r] }))
  const grid = lines.filter(({ cells }) => cells.length)

  const numbers = new Uint16Array(bytes(lens.numbers).buffer)
  const chances = floats(lens.chances)
  const right = bytes(lens.right)
  const strips = bytes(data.strips)
  const patterns = bytes(data.patterns.shares)
  const at = (level, k) => (level * N + k) * lens.guesses

  for (const { row, line, cells } of lines) {
    const button = line.querySelector(".label button")
    if (button) {
      button.dataset.opens = row.opens
      button.ariaCurrent = String(row.group === open.group)
    }
    const strip = line.querySelector(".strip")
    if (strip) fill(strip, N, 1, (k) => above.table[strips[row.strip * N + k]])
    line.querySelectorAll(".head").forEach((head, h) => {
      const { size } = data.patterns
      fill(head.firstChild, size, size, (i) => green.table[patterns[h * size * size + i]])
      head.dataset.opens = `${open.head === null ? "pattern" : open.name} ${row.layer} ${h}`
      head.ariaPressed = String(h === data.head)
    })
    cells.forEach((cell, k) => {
      if (row.kind === "text") {
        cell.classList.toggle("unseen", k < from || k >= to)
        cell.ariaLabel = `${spoken(text[k])}, ${k + 1} of ${N}`
        return
      }
      const chance = chances[at(row.level, k)]
      const glyph = lens.glyphs[numbers[at(row.level, k)]]
      say(cell, alone(glyph))
      cell.style.backgroundColor = gray.css[Math.round(255 * chance)]
      cell.style.color = gray.ink[Math.round(255 * chance)]
      cell.classList.toggle("right", k < N - 1 && right[row.level * (N - 1) + k] > 0)
      cell.ariaLabel = `${row.label}, next after ${spoken(text[k])} ${k + 1}: ${spoken(glyph)}, ${inPercent(chance)}`
    })
  }

  // the row of the open part comes into view, without moving the page
  const current = find('.line:has([aria-current="true"])')
  if (current && state.chosen !== data.chosen) {
    const [lowest, highest] = [current.offsetTop - 2 * LINE, current.offsetTop + 3 * LINE - picture.clientHeight]
    picture.scrollTop = Math.min(Math.max(picture.scrollTop, highest), lowest)
  }
  state.chosen = data.chosen

  const showPlace = () => {
    const shown = state.place.shown
    for (const { cells } of grid)
      cells.forEach((cell, k) => {
        cell.classList.toggle("followed", k === shown)
        cell.ariaSelected = String(k === shown)
      })
  }

  // what would be written after the character under the pointer, at its level; else after the one that is followed
  const showGuess = () => {
    const last = lens.levels - 1
    const { level, k } = state.hover ?? { level: last, k: state.place.shown }
    const guess = (i) => `${quoted(lens.glyphs[numbers[at(level, k) + i]])} ${inPercent(chances[at(level, k) + i])}`
    const list = Array.from({ length: lens.guesses }, (_, i) => guess(i))
    const inTheMiddle = level ? `layer ${level} would write` : "the embedding would write"
    const next = k < N - 1 ? `. Your sentence has ${quoted(text[k + 1])}.` : ""
    const who = level === last ? "the model writes" : inTheMiddle
    say(find(".guess"), `After ${quoted(text[k])} (position ${k + 1}) ${who}: ${list.join(" · ")}${next}`)
  }

  const locate = (target) => {
    for (const { row, cells } of grid) {
      const k = cells.indexOf(target)
      if (k >= 0) return { level: row.level ?? lens.levels - 1, k }
    }
    return null
  }
  const point = (target) => {
    state.hover = locate(target)
    showGuess()
  }
  board.onpointerover = (event) => point(event.target)
  board.onpointerleave = () => point(null)
  state.focus = (target) => {
    if (!target?.matches("span:focus-visible")) return point(null) // a click chooses; only keys move
    point(target)
    announce(find(".guess").textContent)
  }
  if (!state.listens) {
    state.listens = true // these events have no handler that could be assigned
    board.addEventListener("focusin", (event) => state.focus(event.target))
    board.addEventListener("focusout", () => state.focus(null))
  }
  board.onclick = (event) => {
    const found = locate(event.target)
    if (found) pick(found.k)
  }
  board.onkeydown = (event) => {
    const y = grid.findIndex(({ cells }) => cells.includes(active()))
    if (y < 0) return
    const x = grid[y].cells.indexOf(active())
    const to = walkGrid([y, x], [grid.length, N], event.key)
    if (event.key === "Enter" || event.key === " ") pick(x)
    else if (to) {
      grid[state.tab[0]].cells[state.tab[1]].tabIndex = -1
      state.tab = to
      const cell = grid[state.tab[0]].cells[state.tab[1]]
      cell.tabIndex = 0
      cell.focus()
    } else return
    event.preventDefault()
    event.stopPropagation()
  }

  // ---- the walk: `stop` counts from 0, and is halfway between two of them for a part at which it does not stop

  const stopOf = (chosen) => {
    const i = stops.findIndex(([name]) => name === chosen.split(" ")[0])
    return i < 0 ? data.stop : i
  }
  const showStop = () => {
    const stop = stopOf(state.choice.shown)
    const isOne = Number.isInteger(stop)
    say(find(".stop"), isOne ? `${stop + 1} of ${stops.length}` : `between ${stop + 0.5} and ${stop + 1.5}`)
    // not `disabled`: such a button keeps the focus and swallows the keys
    find(".back").ariaDisabled = String(stop <= 0)
    find(".next").ariaDisabled = String(stop >= stops.length - 1)
    const isOnItsWay = isOne && state.choice.shown !== data.chosen
    say(find(".where"), isOnItsWay ? stops[stop][1] : [open.scope, open.title].filter(Boolean).join(" · "))
  }
  const go = (direction) => {
    const stop = stopOf(state.choice.shown)
    const next = direction > 0 ? Math.floor(stop) + 1 : Math.ceil(stop) - 1
    if (next < 0 || next >= stops.length) return
    const [, layer, head] = state.choice.shown.split(" ")
    choose(`${stops[next][0]} ${layer} ${head}`)
    announce(`${next + 1} of ${stops.length}: ${stops[next][1]}`)
  }
  find(".back").onclick = () => go(-1)
  find(".next").onclick = () => go(1)
  root.onkeydown = (event) => {
    const direction = { ArrowRight: 1, n: 1, ArrowLeft: -1, p: -1 }[event.key]
    if (!direction || event.ctrlKey || event.metaKey || event.altKey) return
    if (event.key.startsWith("Arrow") && event.target === find("pre")) return // they scroll its long lines
    event.preventDefault()
    go(direction)
  }

  // ---- the open part

  const tabs = find(".tabs")
  const labels = open.tabs.map(({ label, step }) => (step ? `${step} ${label}` : label))
  if (state.tabs !== labels.join("\n")) {
    state.tabs = labels.join("\n")
    rebuild(tabs, labels.map((label, i) => opener(open.tabs[i].step ? "step" : "", label, "", label)))
  }
  ;[...tabs.children].forEach((button, i) => {
    button.dataset.opens = open.tabs[i].opens
    button.ariaCurrent = String(open.tabs[i].opens === data.chosen)
  })
  say(find(".formula"), open.formula)
  say(find(".shape"), open.shape)
  say(find(".sentence"), open.sentence)
  say(find(".axes"), COLUMNS[open.columns])
  root.classList.toggle("list", open.columns === "id")

  const [height, width] = open.size
  const values = floats(open.numbers)
  const kind = KINDS[open.name] ?? "number"
  const largest = values.reduce((most, value) => (Number.isFinite(value) ? Math.max(most, Math.abs(value)) : most), 0)
  const isHidden = (i, j) => data.causal && ["scores", "pattern"].includes(open.name) && j > i
  const colorOf = (value, i, j) => {
    if (isHidden(i, j)) return beyond
    if (kind === "id") return ground
    if (kind !== "number") return (kind === "attention" ? green : gray).table[Math.round(255 * value)]
    return (value < 0 ? below : above).table[largest ? Math.round((255 * Math.abs(value)) / largest) : 0]
  }
  const columnGlyph = (j) => ({ character: text[from + j], vocabulary: open.labels[j] })[open.columns] ?? String(j + 1)
  const columnName = (j) =>
    ({ character: () => named(from + j), vocabulary: () => quoted(open.labels[j]) })[open.columns]?.() ?? String(j + 1)

  // the two products that add most to a value that is a sum of products
  const factors = open.factors && { a: floats(open.factors.a), b: floats(open.factors.b) }
  const largestProducts = (i, j) => {
    if (!factors || open.factors.terms <= 2) return ""
    const { terms, ofCharacters } = open.factors
    const pair = (m) => [factors.a[i * terms + m], factors.b[j * terms + m]]
    const size = (m) => Math.abs(pair(m)[0] * pair(m)[1])
    const order = Array.from({ length: terms }, (_, m) => m).sort((m, n) => size(n) - size(m))
    const name = (m) => (ofCharacters ? named(from + m) : `number ${m + 1}`)
    const products = order.slice(0, 2).map((m) => `${pair(m).map(digits).join(" × ")} (${name(m)})`)
    return ` Of ${terms} products, farthest from zero: ${products.join(", ")}.`
  }

  const showValue = (isByKey) => {
    const [i, j] = state.matrix.shown
    const [row, column, value] = [named(from + i), columnName(j), values[i * width + j]]
    const asShare = kind === "attention" || kind === "chance"
    const shown = isHidden(i, j) ? "hidden" : asShare ? inPercent(value) : digits(value)
    const where = { id: "", number: `, column ${column}` }[open.columns] ?? `, ${column}`
    const most = open.columns === "number" ? "farthest from zero" : "largest"
    const isMost = !state.matrix.cell && open.columns !== "id"
    say(find(".value"), `${row}${where}: ${shown}${isMost ? ` (${most} in the row of ${row})` : ""}`)

    const hiding = "{column} is later than {row}: the causal mask hides it"
    const origin = (isHidden(i, j) ? hiding : open.origin)
      .replaceAll("{row}", row)
      .replaceAll("{column}", column)
      .replaceAll("{place}", String(i + 1))
      .replaceAll("{distance}", String(i - j))
    const words = `From: ${origin}.${isHidden(i, j) ? "" : largestProducts(i, j)} `
    say(find(".origin span"), words)
    if (isByKey) announce(`${find(".value").textContent}. ${words}`)
  }
  // not with each value: a button that is replaced between press and release gets no click
  const inputs = open.inputs.map(({ opens }) => opens).join("\n")
  if (state.inputs !== inputs) {
    state.inputs = inputs
    rebuild(find(".inputs"), open.inputs.map(({ label, opens }) => opener("input", `← ${label}`, opens, label)))
  }
  state.showValue = showValue
  state.matrix ??= new Matrix(find(".matrix"), (isByKey) => state.showValue(isByKey))
  state.matrix.update({
    name: open.name,
    height,
    width,
    values,
    colorOf,
    columnGlyph,
    rowGlyph: (i) => ({ number: from + i + 1, glyph: text[from + i] }),
    isNumbered: open.columns === "number",
    isList: open.columns === "id",
    followed: place - from,
  })
  find(".matrix").ariaLabel = `${open.title}: ${height} rows, ${width} columns. Arrow keys move from value to value.`

  const legend = [kind, digits(largest), green.key, data.causal, open.name].join(" ")
  if (state.legend !== legend) {
    state.legend = legend
    const bar = (table, isReversed) => {
      const made = element("i")
      const parts = Array.from({ length: 9 }, (_, i) => table[Math.round((255 * (isReversed ? 8 - i : i)) / 8)])
      made.style.background = `linear-gradient(to right, ${parts.map((part) => `rgb(${part.join(" ")})`).join(", ")})`
      return made
    }
    const note = (words) => element("span", "", words)
    const shares = (table) => [note("0\u00a0%"), bar(table), note("100\u00a0%")]
    const signs = () => [`−${digits(largest)}`, "0", digits(largest)].map(note)
    const [low, zero, high] = signs()
    const scale = {
      id: [],
      number: [low, bar(below.table, true), zero, bar(above.table), high],
      attention: shares(green.table),
      chance: shares(gray.table),
    }[kind]
    const hidden = isHidden(0, 1) ? [element("b", "hidden"), note("hidden (the future)")] : []
    find(".legend").replaceChildren(...scale, ...hidden)
  }

  // ---- its source

  const { code } = open
  const source = `${code.file} ${code.first} ${code.marked.join(" ")}`
  if (state.source !== source) {
    state.source = source
    say(find(".file"), `${code.file}, from line ${code.first}`)
    const listing = find("pre")
    listing.replaceChildren(
      ...code.lines.map((line, i) => {
        const made = element("span", code.marked.includes(i) ? "marked" : "")
        made.append(element("i", "", String(code.first + i).padStart(4)), ` ${line}\n`)
        return made
      }),
    )
    // at the top is a whole line: the one before the first that matters, or an earlier one if the end comes before
    const { offsetHeight } = listing.firstChild
    const last = Math.ceil((code.lines.length * offsetHeight - listing.clientHeight) / offsetHeight)
    listing.scrollTo(0, offsetHeight * Math.max(0, Math.min(code.marked[0] - 1, last)))
  }

  showPlace()
  showGuess()
  showStop()
  showValue()
}
