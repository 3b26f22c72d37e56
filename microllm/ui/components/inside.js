// The model as one picture of its parts: columns are the characters of the sentence, rows the parts from top to bottom,
// and after each layer what the model would write if it ended there (logit lens). Beside it one part is open: its numbers
// as a heatmap. `data` is described in ui/parts/inside.py. `chosen` and `opens` are "stage layer head".

const CELL = 12 // pixels: the width of a character's column
const LINE = 22 // pixels: the height of a row of the picture
const ROW = [2, 12] // pixels: the least and the greatest height of a row of the heatmap
const HEATMAP = 290 // pixels: its greatest height
const LABELS = 58 // pixels to the left of the heatmap, for the characters of its rows
const TOP = 18 // pixels above it, for the labels of its columns
const READABLE = 10 // pixels that a label needs
const NAMES = { "␠": "space", "⏎": "line end", "⇥": "tab" }

const element = (tag, className, words) => {
  const made = document.createElement(tag)
  if (className) made.className = className
  if (words !== undefined) made.textContent = words
  return made
}

// A number with three digits that matter.
const digits = (value) => {
  if (Number.isInteger(value)) return value.toLocaleString("en")
  const size = Math.abs(value)
  const words = size >= 100 ? value.toFixed(1) : size >= 0.001 ? value.toFixed(3) : value.toExponential(1)
  return words.replace("-", "−")
}

const exactPercent = (share) => (share > 0 && share < 0.005 ? "less than 1\u00a0%" : `${Math.round(100 * share)}\u00a0%`)

// Colors of signed numbers: from the background to one of two hues, by the square root of the size.
const signed = (root, colors) => {
  const hues = ["negative", "positive"].map((name) => ({ light: colors.light[name], dark: colors.dark[name] }))
  return hues.map((hue) => glow(root, hue))
}

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".inside")
  const find = (name) => root.querySelector(name)
  const state = (root.state ??= { rows: "", tabs: "", code: "", hover: null, cell: null, tab: [0, 0], choice: new Choice(), place: new Choice() })
  const { open, text, place } = data
  const [from, to] = data.context
  state.data = data
  state.choice.update(data.chosen, (value) => setTriggerValue("chosen", value))
  state.place.update(place, (value) => setTriggerValue("picked", value))

  const hue = (name) => glow(root, { light: data.colors.light[name], dark: data.colors.dark[name] })
  const green = hue("attention")
  const gray = hue("text")
  const named = (k) => `“${isolated(alone(text[k]))}” (${k + 1})`
  const active = () => root.getRootNode().activeElement

  const choose = (value) => {
    if (value === state.choice.shown) return
    state.choice.make(value, root)
    walkTo()
  }
  const pick = (k) => {
    if (k === state.place.shown) return
    state.place.make(k, root)
    markPlace()
    guess()
  }

  // rebuilds `parent`; what had the focus has it again
  const rebuild = (parent, children) => {
    const focused = parent.contains(active()) ? active().dataset.id : null
    parent.replaceChildren(...children)
    if (focused) [...parent.querySelectorAll("[data-id]")].find((one) => one.dataset.id === focused)?.focus({ preventScroll: true })
  }

  const opener = (className, words, opens, id) => {
    const made = element("button", className, words)
    made.type = "button"
    made.dataset.opens = opens
    made.dataset.id = id
    made.onclick = () => choose(made.dataset.opens)
    return made
  }

  // for screen readers: only what the user did, not each tick of the training
  const announce = (words) => {
    find(".status").textContent = words
  }

  // ---- the picture

  const lens = data.lens
  const numbers = new Uint16Array(bytes(lens.numbers).buffer)
  const chances = bytes(lens.chances)
  const right = bytes(lens.right)
  const N = text.length
  const at = (level, k, i) => (level * N + k) * lens.guesses + i

  const build = () => {
    const rows = data.rows.map((row, r) => {
      const line = element("div", `line ${row.kind}`)
      line.setAttribute("role", "row")
      const label = element("div", "label")
      label.setAttribute("role", "rowheader")
      const stream = element("i", row.kind === "part" && row.strip ? "stream adds" : "stream")
      stream.ariaHidden = "true"
      label.append(stream)
      if (row.opens) {
        const button = opener("opener", "", row.opens, `row ${r}`)
        button.append(element("span", "", row.label), element("small", "", row.size ?? ""))
        label.append(button)
      } else label.append(element("span", "", row.label))
      const cells = element("div", "cells")
      cells.setAttribute("role", "presentation")
      if (row.kind === "text" || row.kind === "lens") {
        cells.append(
          ...text.map((glyph, k) => {
            const cell = element("span", "", row.kind === "text" ? alone(glyph) : "")
            cell.setAttribute("role", "gridcell")
            cell.tabIndex = -1
            return cell
          }),
        )
      } else if (row.kind === "heads") {
        cells.append(
          ...Array.from({ length: data.heads }, (_, h) => {
            const button = opener("head", "", "", `head ${h}`)
            const pattern = element("canvas")
            pattern.ariaHidden = "true"
            button.append(pattern)
            button.ariaLabel = `Layer ${row.layer + 1}, head ${h + 1}`
            button.title = button.ariaLabel
            return button
          }),
        )
      } else if (row.strip !== null) {
        const strip = element("canvas", "strip")
        strip.ariaHidden = "true"
        cells.append(strip)
      }
      line.append(label, cells)
      return line
    })
    const { scrollLeft, scrollTop } = find(".picture")
    rebuild(find(".rows"), rows)
    Object.assign(find(".picture"), { scrollLeft, scrollTop })
    state.lines = data.rows.map((row, r) => ({ row, line: rows[r], cells: [...rows[r].querySelectorAll("[role=gridcell]")] }))
    state.grid = state.lines.filter(({ cells }) => cells.length)
    state.tab = [0, place]
    state.grid[0].cells[place].tabIndex = 0
  }

  const shape = JSON.stringify([data.rows.map(({ kind, label, size, level, layer }) => [kind, label, size, level, layer]), text, data.heads])
  if (shape !== state.rows) {
    const isNew = state.text !== text.join("\u0000")
    state.rows = shape
    state.text = text.join("\u0000")
    root.style.setProperty("--characters", N)
    root.style.setProperty("--heads", data.heads)
    state.hover = null
    build()
    if (isNew) find(".picture").scrollLeft = place * CELL - find(".picture").clientWidth / 2 // no effect if all is in view
  }

  const levelOf = (row) => (row.kind === "lens" ? row.level : null)

  const fillStrip = (canvas, index) => {
    canvas.width = N
    canvas.height = 1
    const pen = canvas.getContext("2d")
    const image = pen.createImageData(N, 1)
    const { table } = signed(root, data.colors)[1]
    for (let k = 0; k < N; k++) image.data.set([...table[state.strips[index * N + k]], 255], 4 * k)
    pen.putImageData(image, 0, 0)
  }

  const fillHead = (canvas, h) => {
    const { size, shares } = state.patterns
    canvas.width = canvas.height = size
    const pen = canvas.getContext("2d")
    const image = pen.createImageData(size, size)
    for (let i = 0; i < size * size; i++) image.data.set([...green.table[shares[h * size * size + i]], 255], 4 * i)
    pen.putImageData(image, 0, 0)
  }

  state.strips = bytes(data.strips)
  state.patterns = { size: data.patterns.size, shares: bytes(data.patterns.shares) }
  for (const { row, line, cells } of state.lines) {
    const now = data.rows[state.lines.findIndex((one) => one.line === line)]
    const button = line.querySelector(".label button")
    if (button) {
      button.dataset.opens = now.opens
      button.ariaCurrent = String((now.group ?? now.kind) === open.group || (now.kind === "text" && open.group === "characters"))
    }
    const strip = line.querySelector(".strip")
    if (strip) fillStrip(strip, now.strip)
    if (row.kind === "heads") {
      line.querySelectorAll(".head").forEach((one, h) => {
        fillHead(one.firstChild, h)
        const stage = open.head === null ? "pattern" : open.name
        one.dataset.opens = `${stage} ${now.layer} ${h}`
        one.ariaCurrent = String(open.head === h && open.layer === now.layer)
        one.ariaPressed = String(h === Number(data.chosen.split(" ")[2]))
      })
    }
    cells.forEach((cell, k) => {
      const isSeen = k >= from && k < to
      if (row.kind === "text") {
        cell.classList.toggle("unseen", !isSeen)
        cell.ariaLabel = `${NAMES[text[k]] ?? alone(text[k])}, ${k + 1} of ${N}`
        return
      }
      const chance = chances[at(row.level, k, 0)]
      const glyph = lens.glyphs[numbers[at(row.level, k, 0)]]
      const words = alone(glyph)
      if (cell.textContent !== words) cell.textContent = words
      cell.style.backgroundColor = gray.css[chance]
      cell.style.color = gray.ink[chance]
      cell.className = k < N - 1 && right[row.level * (N - 1) + k] ? "right" : ""
      cell.ariaLabel = `${row.label}, after ${NAMES[text[k]] ?? alone(text[k])} ${k + 1}: ${NAMES[glyph] ?? words} ${percent(chance)}`
    })
  }

  // keep the row of the open part in view, without moving the page
  const current = find('.line:has([aria-current="true"])')
  if (current && state.shown !== data.chosen) {
    const picture = find(".picture")
    const [above, below] = [current.offsetTop - 2 * LINE, current.offsetTop + 3 * LINE - picture.clientHeight]
    picture.scrollTop = Math.min(Math.max(picture.scrollTop, below), above)
  }
  state.shown = data.chosen

  const markPlace = () => {
    const shown = state.place.shown
    for (const { cells } of state.grid)
      cells.forEach((cell, k) => {
        cell.classList.toggle("followed", k === shown)
        cell.ariaSelected = String(k === shown)
      })
  }

  // what the model would write after a character, at the level under the pointer
  const guess = () => {
    const { level, k } = state.hover ?? { level: lens.levels - 1, k: state.place.shown }
    const list = Array.from({ length: lens.guesses }, (_, i) => {
      const glyph = isolated(alone(lens.glyphs[numbers[at(level, k, i)]]))
      return `“${glyph}” ${exactPercent(Math.max(1, chances[at(level, k, i)]) / 255)}` // a byte cannot tell 0.1 % from 0
    })
    const last = lens.levels - 1
    const who = level === last ? "the model writes" : level ? `layer ${level} would write` : "the embedding would write"
    const next = k < N - 1 ? `. Your sentence has “${isolated(alone(text[k + 1]))}”.` : ""
    const words = `After ${named(k)} ${who}: ${list.join(" · ")}${next}`
    const line = find(".guess")
    if (line.textContent !== words) line.textContent = words
  }

  const rowsBox = find(".rows")
  const locate = (target) => {
    for (const { row, cells } of state.grid) {
      const k = cells.indexOf(target)
      if (k >= 0) return { row, k }
    }
    return null
  }
  const point = (target) => {
    const found = locate(target)
    const level = found && levelOf(found.row)
    state.hover = found && level !== null ? { level, k: found.k } : found ? { level: lens.levels - 1, k: found.k } : null
    guess()
  }
  rowsBox.onpointerover = (event) => point(event.target)
  rowsBox.onpointerleave = () => point(null)
  rowsBox.onfocusin = (event) => {
    if (!event.target.matches(":focus-visible")) return
    point(event.target)
    if (locate(event.target)) announce(find(".guess").textContent)
  }
  rowsBox.onfocusout = () => point(null)
  rowsBox.onclick = (event) => {
    const found = locate(event.target)
    if (found) pick(found.k)
  }
  rowsBox.onkeydown = (event) => {
    const y = state.grid.findIndex(({ cells }) => cells.includes(active()))
    if (y < 0) return
    const x = state.grid[y].cells.indexOf(active())
    const isReversed = getComputedStyle(rowsBox).direction === "rtl"
    const step = { ArrowLeft: [0, isReversed ? 1 : -1], ArrowRight: [0, isReversed ? -1 : 1], ArrowUp: [-1, 0], ArrowDown: [1, 0], Home: [0, -N], End: [0, N] }[event.key]
    if (event.key === "Enter" || event.key === " ") pick(x)
    else if (step) {
      const next = [Math.min(Math.max(y + step[0], 0), state.grid.length - 1), Math.min(Math.max(x + step[1], 0), N - 1)]
      state.grid[state.tab[0]].cells[state.tab[1]].tabIndex = -1
      state.tab = next
      const cell = state.grid[next[0]].cells[next[1]]
      cell.tabIndex = 0
      cell.focus()
    } else return
    event.preventDefault()
    event.stopPropagation()
  }

  // ---- the walk

  const stopOf = (chosen) => {
    const i = data.stops.findIndex(([name]) => name === chosen.split(" ")[0])
    return i >= 0 ? i : data.stop
  }
  const walkTo = () => {
    const stop = stopOf(state.choice.shown)
    const isOn = Number.isInteger(stop)
    find(".stop").textContent = isOn ? `${stop + 1} of ${data.stops.length}` : `between ${Math.floor(stop) + 1} and ${Math.ceil(stop) + 1}`
    // not `disabled`: such a button keeps the focus and swallows the keys
    find(".back").ariaDisabled = String(stop <= 0)
    find(".next").ariaDisabled = String(stop >= data.stops.length - 1)
    const isHere = state.choice.shown === data.chosen
    const title = isOn && !isHere ? data.stops[stop][1] : `${open.scope}${open.scope ? " · " : ""}${open.title}`
    if (find(".where").textContent !== title) find(".where").textContent = title
  }
  const go = (direction) => {
    const stop = stopOf(state.choice.shown)
    const next = direction > 0 ? Math.floor(stop) + 1 : Math.ceil(stop) - 1
    if (next < 0 || next >= data.stops.length) return
    const [, layer, head] = state.choice.shown.split(" ")
    choose(`${data.stops[next][0]} ${layer} ${head}`)
    announce(`${next + 1} of ${data.stops.length}: ${data.stops[next][1]}`)
  }
  find(".back").onclick = () => go(-1)
  find(".next").onclick = () => go(1)
  root.onkeydown = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return
    const direction = { ArrowRight: 1, n: 1, ArrowLeft: -1, p: -1 }[event.key]
    if (!direction) return
    event.preventDefault()
    go(direction)
  }

  // ---- the open part

  const tabs = JSON.stringify(open.tabs.map(({ label, step }) => [label, step]))
  if (tabs !== state.tabs) {
    state.tabs = tabs
    rebuild(
      find(".tabs"),
      open.tabs.map(({ label, step, opens }) => {
        const button = opener(step ? "step" : "", step ? `${step} ${label}` : label, opens, label)
        return button
      }),
    )
  }
  find(".tabs").querySelectorAll("button").forEach((button, i) => {
    button.dataset.opens = open.tabs[i].opens
    button.ariaCurrent = String(open.tabs[i].opens === data.chosen)
  })
  find(".formula").textContent = open.formula
  find(".shape").textContent = open.shape
  find(".sentence").textContent = open.sentence

  const [height, width] = open.size
  const values = new Float32Array(bytes(open.numbers).buffer)
  const kind = { pattern: "attention", probabilities: "chance", characters: "id" }[open.name] ?? "number"
  let most = 0
  for (const value of values) if (Number.isFinite(value)) most = Math.max(most, Math.abs(value))
  const [below, above] = signed(root, data.colors)
  const beyond = rgb(getComputedStyle(root).getPropertyValue("--st-secondary-background-color") || "#eeeeee")
  const ground = rgb(getComputedStyle(root).getPropertyValue("--st-background-color") || "#ffffff")
  const colorOf = (value) => {
    if (value === -Infinity) return beyond
    if (kind === "id") return ground
    if (kind !== "number") return (kind === "attention" ? green : gray).table[Math.round(255 * value)]
    return (value < 0 ? below : above).table[most ? Math.round((255 * Math.abs(value)) / most) : 0]
  }
  const isHidden = (i, j) => data.causal && kind === "attention" && values[i * width + j] === 0 && j > i
  const rowName = (i) => named(from + i)
  const columnName = (j) => {
    if (open.columns === "character") return named(from + j)
    if (open.columns === "vocabulary") return `“${isolated(alone(open.labels[j]))}”`
    return String(j + 1)
  }
  const glyphOf = (j) => (open.columns === "character" ? text[from + j] : open.columns === "vocabulary" ? open.labels[j] : String(j + 1))

  const box = find(".matrix")
  const canvas = box.querySelector("canvas")
  const layout = () => {
    const room = box.clientWidth - LABELS
    const rowHeight = Math.min(Math.max(HEATMAP / height, ROW[0]), open.columns === "id" ? HEATMAP / height : Math.max(ROW[1], Math.min(24, HEATMAP / height)))
    const columnWidth = open.columns === "id" ? 90 : Math.min(room / width, 28)
    return { rowHeight, columnWidth, total: columnWidth * width }
  }

  // of the columns that share a pixel, the one with the largest number
  const columnAt = (i, x, columnWidth) => {
    const first = Math.min(width - 1, Math.floor(x / columnWidth))
    const last = columnWidth >= 1 ? first : Math.min(width - 1, Math.ceil((x + 1) / columnWidth) - 1)
    let best = first
    for (let j = first; j <= last; j++) if (Math.abs(values[i * width + j]) > Math.abs(values[i * width + best])) best = j
    return best
  }

  const paint = () => {
    if (!box.clientWidth) return
    const { rowHeight, columnWidth, total } = layout()
    const scale = devicePixelRatio
    const [w, h] = [box.clientWidth, TOP + rowHeight * height]
    canvas.style.height = `${h}px`
    const pixels = [Math.round(w * scale), Math.round(h * scale)]
    if (canvas.width !== pixels[0] || canvas.height !== pixels[1]) [canvas.width, canvas.height] = pixels
    const pen = canvas.getContext("2d")
    pen.setTransform(scale, 0, 0, scale, 0, 0)
    pen.clearRect(0, 0, w, h)
    const across = columnWidth >= 1 ? width : Math.max(1, Math.floor(total))
    const image = new ImageData(across, height)
    for (let i = 0, p = 0; i < height; i++)
      for (let x = 0; x < across; x++, p += 4) {
        const j = columnWidth >= 1 ? x : columnAt(i, x, columnWidth)
        const color = isHidden(i, j) ? beyond : colorOf(values[i * width + j])
        image.data[p] = color[0]
        image.data[p + 1] = color[1]
        image.data[p + 2] = color[2]
        image.data[p + 3] = 255
      }
    const small = document.createElement("canvas")
    small.width = across
    small.height = height
    small.getContext("2d").putImageData(image, 0, 0)
    pen.imageSmoothingEnabled = false
    pen.drawImage(small, LABELS, TOP, total, rowHeight * height)

    const style = getComputedStyle(root)
    pen.fillStyle = style.color
    pen.font = `12px ${style.getPropertyValue("--st-code-font") || "monospace"}, monospace`
    pen.textBaseline = "middle"
    const every = Math.ceil(READABLE / rowHeight)
    const walked = place - from
    pen.textAlign = "right"
    for (let i = 0; i < height; i++) {
      const isNear = every > 1 && i !== walked && Math.abs(i - walked) < every
      if (i !== walked && (i % every || isNear)) continue
      pen.globalAlpha = i === walked ? 1 : 0.8
      pen.fillText(every > 1 || i === walked ? `${from + i + 1} ${text[from + i]}` : text[from + i], LABELS - 6, TOP + (i + 0.5) * rowHeight)
    }
    pen.globalAlpha = 0.8
    pen.textAlign = "center"
    if (open.columns !== "id") {
      const isNumber = open.columns === "number"
      const step = isNumber ? 2 ** Math.max(0, Math.ceil(Math.log2(26 / columnWidth))) : Math.ceil((READABLE - 2) / columnWidth)
      for (let j = 0; j < width; j++) {
        const isShown = isNumber ? (j + 1) % step === 0 || (j === 0 && step > 2) : j % step === 0
        if (isShown) pen.fillText(glyphOf(j), LABELS + (j + 0.5) * columnWidth, TOP / 2)
      }
    }
    pen.globalAlpha = 1
    if (kind === "id") {
      pen.textAlign = "left"
      for (let i = 0; i < height; i++) if (rowHeight >= READABLE || i % every === 0) pen.fillText(`→ ${values[i]}`, LABELS + 4, TOP + (i + 0.5) * rowHeight)
    } else if (rowHeight >= READABLE && columnWidth >= 44) {
      for (let i = 0; i < height; i++)
        for (let j = 0; j < width; j++) pen.fillText(digits(values[i * width + j]), LABELS + (j + 0.5) * columnWidth, TOP + (i + 0.5) * rowHeight)
    }
    frame()
  }

  // the frames of the followed row, and of the row and the column of the value that is shown
  const frame = () => {
    const { rowHeight, columnWidth, total } = layout()
    const put = (name, x, y, w, h) => Object.assign(box.querySelector(name).style, { left: `${x}px`, top: `${y}px`, width: `${w}px`, height: `${h}px` })
    put(".walked", LABELS, TOP + (place - from) * rowHeight, total, rowHeight)
    const isShown = state.cell !== null
    box.classList.toggle("pointed", isShown)
    if (isShown) {
      const [i, j] = state.cell
      put(".row", LABELS, TOP + i * rowHeight, total, rowHeight)
      put(".column", LABELS + j * columnWidth, TOP, Math.max(1, columnWidth), rowHeight * height)
    }
  }

  // a value that is a sum of products: the two that add most to it
  const factors = open.factors && { ...open.factors, a: new Float32Array(bytes(open.factors.a).buffer), b: new Float32Array(bytes(open.factors.b).buffer) }
  const largestTerms = (i, j) => {
    if (!factors) return ""
    const { a, b, terms, named: isNamed } = factors
    const sizes = Array.from({ length: terms }, (_, m) => Math.abs(a[i * terms + m] * b[j * terms + m]))
    const order = sizes.map((_, m) => m).sort((m, n) => sizes[n] - sizes[m])
    const words = order.slice(0, 2).map((m) => {
      const label = isNamed ? rowName(m) : `number ${m + 1}`
      return `${digits(a[i * terms + m])} × ${digits(b[j * terms + m])} (${label})`
    })
    return terms > 2 ? ` Largest of ${terms} products: ${words.join(", ")}.` : ""
  }

  // without a pointer: the largest number of the followed row
  const shownCell = () => {
    if (state.cell) return state.cell
    const i = place - from
    let best = 0
    for (let j = 1; j < width; j++) if (Math.abs(values[i * width + j]) > Math.abs(values[i * width + best]) || !Number.isFinite(values[i * width + best])) best = j
    return [i, best]
  }

  const say = () => {
    const [i, j] = shownCell()
    const value = values[i * width + j]
    const isFuture = value === -Infinity || isHidden(i, j)
    const shown = kind === "attention" || kind === "chance" ? exactPercent(value) : value === -Infinity ? "−∞" : digits(value)
    const columns = open.columns === "id" ? "" : `, ${open.columns === "number" ? "column " : ""}${columnName(j)}`
    const largest = state.cell || open.columns === "id" ? "" : ` (largest in the row of ${rowName(i)})`
    const found = `${rowName(i)}${columns}: ${shown}${isFuture ? " (hidden)" : ""}${largest}`
    if (find(".value").textContent !== found) find(".value").textContent = found
    const origin = (isFuture ? "{column} is later than {row}: the causal mask hides it" : open.origin)
      .replaceAll("{row}", rowName(i))
      .replaceAll("{column}", columnName(j))
      .replaceAll("{place}", String(i + 1))
      .replaceAll("{distance}", String(i - j))
    const words = `From: ${origin}.${isFuture ? "" : largestTerms(i, j)} `
    const key = JSON.stringify([words, open.inputs])
    if (key === state.origin) return
    state.origin = key
    rebuild(find(".origin"), [
      element("span", "", words),
      ...open.inputs.map(({ label, opens }) => opener("input", `← ${label}`, opens, `input ${label}`)),
    ])
  }

  if (state.cell && (state.cell[0] >= height || state.cell[1] >= width || state.open !== `${open.name} ${open.size}`)) state.cell = null
  state.open = `${open.name} ${open.size}`

  const pointAt = (event) => {
    const bounds = canvas.getBoundingClientRect()
    const { rowHeight, columnWidth, total } = layout()
    const [x, y] = [event.clientX - bounds.left - LABELS, event.clientY - bounds.top - TOP]
    const i = Math.floor(y / rowHeight)
    const isIn = x >= 0 && x < total && i >= 0 && i < height
    state.cell = isIn ? [i, columnAt(i, x, columnWidth)] : null
    frame()
    say()
  }
  box.onpointermove = box.onpointerdown = pointAt
  box.onpointerleave = () => {
    state.cell = null
    frame()
    say()
  }
  box.onkeydown = (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], Home: [0, -width], End: [0, width] }[event.key]
    if (event.key === "Escape") state.cell = null
    else if (step) {
      const [i, j] = shownCell()
      state.cell = [Math.min(Math.max(i + step[0], 0), height - 1), Math.min(Math.max(j + step[1], 0), width - 1)]
    } else return
    event.preventDefault()
    event.stopPropagation()
    frame()
    say()
    announce(`${find(".value").textContent}. ${find(".origin span").textContent}`)
  }
  box.onblur = () => {
    state.cell = null
    frame()
    say()
  }

  const columnsAre = { number: "columns: numbers of its vector", character: "columns: characters attended to (keys)", vocabulary: "columns: possible next characters", id: "beside it: its id" }[open.columns]
  find(".axes").textContent = `Rows: characters${open.columns === "character" ? " that attend (queries)" : ""} · ${columnsAre}`
  canvas.setAttribute("role", "img")
  canvas.ariaLabel = `${open.scope} ${open.title}: ${height} rows and ${width} columns of numbers. Arrow keys move from value to value.`.trim()

  const legend = find(".legend")
  const scale = [kind, digits(most), green.key, data.causal, open.name].join(" ")
  if (scale !== state.scale) {
    state.scale = scale
    const bar = (table, isReversed) => {
      const made = element("i")
      const parts = Array.from({ length: 9 }, (_, i) => `rgb(${table[Math.round((255 * (isReversed ? 8 - i : i)) / 8)].join(" ")})`)
      made.style.background = `linear-gradient(to right, ${parts.join(", ")})`
      return made
    }
    const say = (words) => element("span", "", words)
    const bars = {
      id: () => [],
      number: () => [say(`−${digits(most)}`), bar(below.table, true), say("0"), bar(above.table), say(digits(most))],
      attention: () => [say("0\u00a0%"), bar(green.table), say("100\u00a0%")],
      chance: () => [say("0\u00a0%"), bar(gray.table), say("100\u00a0%")],
    }[kind]()
    const hasHidden = data.causal && ["scores", "pattern"].includes(open.name)
    legend.replaceChildren(...bars, ...(hasHidden ? [element("b", "hidden"), say("hidden (the future)")] : []))
  }

  const { code } = open
  const written = JSON.stringify(code)
  if (written !== state.code) {
    state.code = written
    find(".file").textContent = `${code.file}, from line ${code.first}`
    const listing = find("pre")
    listing.replaceChildren(
      ...code.lines.map((line, i) => {
        const made = element("span", code.marked.includes(i) ? "marked" : "")
        made.append(element("i", "", String(code.first + i).padStart(4)), ` ${line}\n`)
        return made
      }),
    )
    const first = listing.children[code.marked[0] ?? 0]
    listing.scrollTop = first ? first.offsetTop - 24 : 0
  }

  state.paint = paint
  state.observer ??= new ResizeObserver(() => state.paint())
  state.observer.observe(box)
  paint()
  markPlace()
  guess()
  walkTo()
  say()
}
