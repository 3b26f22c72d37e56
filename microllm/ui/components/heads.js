// All heads as small pictures, one row per layer; in a picture, rows attend to columns. A click, or arrow keys and Enter,
// choose one. `data`: layers, heads, size (rows of a picture), causal, chosen (layer * heads + head), notes (a sentence
// for each head), labels (a word or two, or "", in the corner of each picture), out (whether a head is knocked out or
// silent: hatched), colors, and shares as bytes: the lower
// triangle of each head, or all rows of a model that is not causal. order: the heads in the order in which they are
// shown, row after row, each with its name such as "2.3" (layer 2, head 3); null for one row per layer.
// byDistance: for each head the shares of the `nearest` distances 0, 1, 2, ... as bytes, drawn as bars below its picture.

const HEIGHT = 350 // pixels, so that all heads are in view
const BARS = 34 // pixels, with the gaps around them
const MAX_LAYERS_WITH_BARS = 5
const LABEL_WIDTH = 56 // pixels of a picture that has room for a label; a narrower one has only its name, if sorted

export default function ({ data, parentElement: root, setTriggerValue }) {
  const grid = root.querySelector(".grid")
  const note = root.querySelector(".note")
  const state = (grid.state ??= { drawn: "", tiles: [], bars: [], labels: [], places: [], hover: null, observer: null })
  const { layers, heads, size, causal } = data
  const shares = bytes(data.shares)
  const { table } = glow(grid, data.colors)
  const beyond = rgb(getComputedStyle(grid).getPropertyValue("--st-secondary-background-color") || "#eeeeee")

  const shape = `${layers} ${heads} ${data.nearest}`
  if (shape !== state.drawn) {
    Object.assign(state, { drawn: shape, choice: new Choice(), hover: null })
    const label = (words, row, column) => {
      const element = document.createElement("i")
      element.textContent = words
      element.ariaHidden = "true"
      if (row) element.style.gridArea = `${row} / ${column}`
      return element
    }
    state.tiles = Array.from({ length: layers * heads }, (_, i) => {
      const [layer, head] = [Math.floor(i / heads), i % heads]
      const tile = document.createElement("canvas")
      tile.setAttribute("role", "radio")
      tile.setAttribute("aria-label", `layer ${layer + 1}, head ${head + 1}`)
      return tile
    })
    const hasBars = data.nearest > 0 && layers <= MAX_LAYERS_WITH_BARS
    state.bars = Array.from({ length: hasBars ? layers * heads : 0 }, () => {
      const bars = document.createElement("canvas")
      bars.className = "bars"
      bars.ariaHidden = "true"
      return bars
    })
    state.labels = state.tiles.map(() => Object.assign(label(""), { className: "label" }))
    grid.style.setProperty("--heads", heads)
    grid.style.setProperty("--tile", `${Math.min(96, Math.max(24, HEIGHT / layers - (hasBars ? BARS : 6)))}px`)
    grid.replaceChildren(
      ...Array.from({ length: heads }, (_, i) => label(i ? String(i + 1) : "head 1", 1, i + 2)),
      ...Array.from({ length: layers }, (_, i) => label(i ? String(i + 1) : "layer 1", 2 * i + 2, 1)),
      ...state.tiles,
      ...state.bars,
      ...state.labels,
    )
  }
  const order = data.order ?? state.tiles.map((_, i) => i)
  grid.classList.toggle("sorted", !!data.order)
  order.forEach((i, place) => {
    const [row, column] = [2 * Math.floor(place / heads) + 2, (place % heads) + 2]
    state.tiles[i].style.gridArea = state.labels[i].style.gridArea = `${row} / ${column}`
    if (state.bars.length) state.bars[i].style.gridArea = `${row + 1} / ${column}`
    state.places[i] = place
  })
  state.choice.update(data.chosen, (i) => setTriggerValue("picked", i))

  const picture = document.createElement("canvas")
  const length = causal ? (size * (size + 1)) / 2 : size * size

  const draw = (tile, i) => {
    const edge = Math.round(tile.getBoundingClientRect().width * devicePixelRatio)
    if (!edge) return
    let at = i * length
    fill(picture, size, size, (p) => (causal && p % size > Math.floor(p / size) ? beyond : table[shares[at++]]))
    if (tile.width !== edge) tile.width = tile.height = edge
    const context = tile.getContext("2d")
    context.imageSmoothingEnabled = edge < 2 * size // pixels of a larger picture stay sharp, and a smaller one loses no row
    context.imageSmoothingQuality = "high"
    context.drawImage(picture, 0, 0, edge, edge)
    if (!data.out[i]) return
    context.strokeStyle = getComputedStyle(grid).color
    context.lineWidth = devicePixelRatio
    context.beginPath()
    for (let at = -edge; at < edge; at += 8 * devicePixelRatio) {
      context.moveTo(at, edge)
      context.lineTo(at + edge, 0)
    }
    context.stroke()
  }

  const byDistance = bytes(data.byDistance)
  const drawBars = (canvas, i) => {
    const { width, height } = canvas.getBoundingClientRect()
    canvas.width = Math.round(width * devicePixelRatio)
    canvas.height = Math.round(height * devicePixelRatio)
    const context = canvas.getContext("2d")
    context.fillStyle = getComputedStyle(canvas).color
    const step = canvas.width / data.nearest
    for (let back = 0; back < data.nearest; back++) {
      const bar = Math.round((canvas.height * byDistance[i * data.nearest + back]) / 255)
      context.fillRect(Math.round(back * step), canvas.height - bar, Math.max(1, Math.floor(step * 0.8)), bar)
    }
  }
  const drawLabels = () => {
    const isWide = state.tiles[0].getBoundingClientRect().width >= LABEL_WIDTH
    state.labels.forEach((label, i) => {
      const name = data.order ? `${Math.floor(i / heads) + 1}.${(i % heads) + 1}` : ""
      const words = isWide ? [name, data.labels[i]].filter(Boolean).join("\u2002") : name
      if (label.textContent !== words) label.textContent = words
      state.tiles[i].setAttribute("aria-description", data.labels[i])
    })
  }
  const drawAll = () => {
    drawLabels()
    state.tiles.forEach(draw)
    state.bars.forEach(drawBars)
  }

  const mark = () => {
    const now = state.choice.shown
    state.tiles.forEach((tile, i) => {
      tile.setAttribute("aria-checked", String(i === now))
      tile.tabIndex = i === now ? 0 : -1
    })
    note.textContent = data.notes[state.hover ?? now]
  }

  const choose = (i) => {
    if (i === state.choice.shown) return
    state.choice.make(i, grid)
    mark()
  }

  const tileOf = (event) => Math.max(state.tiles.indexOf(event.target), state.bars.indexOf(event.target))
  const point = (i) => {
    state.hover = i < 0 ? null : i
    note.textContent = data.notes[state.hover ?? state.choice.shown]
  }
  grid.onpointerover = (event) => point(tileOf(event))
  grid.onpointerleave = () => point(-1)
  grid.onclick = (event) => {
    const i = tileOf(event)
    if (i >= 0) choose(i)
  }
  grid.onkeydown = (event) => {
    const i = tileOf(event)
    if (i < 0) return
    const place = state.places[i]
    const to = walkGrid([Math.floor(place / heads), place % heads], [layers, heads], event.key)
    if (event.key === "Enter" || event.key === " ") choose(i)
    else if (to) {
      const other = order[to[0] * heads + to[1]]
      state.tiles[other].focus()
      point(other)
    } else return
    event.preventDefault()
  }
  grid.onfocusout = () => point(-1)

  state.observer?.disconnect()
  state.observer = new ResizeObserver(drawAll) // it also reports at the start
  state.observer.observe(grid)
  drawAll()
  mark()
}
