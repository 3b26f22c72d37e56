// A matrix as a heatmap: rows are characters, and the pointer or the arrow keys choose a value. Around a row that is
// followed there is always a frame, around the row and the column of the chosen value while there is one.

const MATRIX_HEIGHT = 290 // pixels
const LIST_HEIGHT = 350 // pixels: every row of a list has something to read
const MIN_ROW = 2 // pixels: the least height of a row
const MAX_ROW = 24
const MAX_COLUMN = 28 // pixels: the greatest width of a column
const LABELS = 58 // pixels to the left, for the labels of the rows
const TOP = 18 // pixels above, for the labels of the columns
const READABLE = 10 // pixels that a row with a label needs
const NUMBER_ROOM = 26 // pixels that the number of a column needs

class Matrix {
  // `box` has a canvas and the elements .walked, .row and .column; `chose` is called when another value is chosen, with
  // whether that was done by a key.
  constructor(box, chose) {
    this.box = box
    this.canvas = box.querySelector("canvas")
    this.cell = null
    const choose = (cell, isByKey = false) => {
      this.cell = cell
      this.#frame()
      chose(isByKey)
    }
    box.onpointermove = box.onpointerdown = (event) => choose(this.#cellUnder(event))
    box.onpointerleave = box.onblur = () => choose(null)
    box.onkeydown = (event) => {
      const to = walkGrid(this.shown, [this.look.height, this.look.width], event.key)
      if (event.key === "Escape") choose(null)
      else if (to) choose(to, true)
      else return
      event.preventDefault()
      event.stopPropagation()
    }
    new ResizeObserver(() => this.#paint()).observe(box)
  }

  // `look`: name, height, width, values (row after row), colorOf(value, i, j), the labels rowName(i), rowGlyph(i) and
  // columnGlyph(j), whether columns are numbered (isNumbered) or there is one with values to read (isList), and the row
  // that is followed. Without a chosen value, one of that row is shown: of a vector, whose columns are numbered, the one
  // farthest from zero, else the largest.
  update(look) {
    const { name, height, width } = this.look ?? {}
    if (look.name !== name || look.height !== height || look.width !== width) this.cell = null
    this.look = look
    this.#paint()
  }

  // The chosen value as [row, column]; without one, that which `update` says.
  get shown() {
    const { followed, width, isNumbered } = this.look
    return this.cell ?? [followed, this.#largest(followed, 0, width - 1, isNumbered ? Math.abs : (value) => value)]
  }

  // The column with the finite number of the largest `size`, of a piece of a row.
  #largest(i, first, last, size = Math.abs) {
    const { values, width } = this.look
    const sizeAt = (j) => (Number.isFinite(values[i * width + j]) ? size(values[i * width + j]) : -Infinity)
    let best = first
    for (let j = first + 1; j <= last; j++) if (sizeAt(j) > sizeAt(best)) best = j
    return best
  }

  get #layout() {
    const { height, width, isList } = this.look
    const rowHeight = Math.min(Math.max((isList ? LIST_HEIGHT : MATRIX_HEIGHT) / height, MIN_ROW), MAX_ROW)
    const columnWidth = isList ? 90 : Math.min((this.box.clientWidth - LABELS) / width, MAX_COLUMN)
    return { rowHeight, columnWidth, total: columnWidth * width }
  }

  // Of columns that share a pixel, the one whose number is farthest from zero is drawn, and found under the pointer.
  #columnAt(i, x, columnWidth) {
    const last = this.look.width - 1
    const first = Math.min(last, Math.floor(x / columnWidth))
    return columnWidth >= 1 ? first : this.#largest(i, first, Math.min(last, Math.ceil((x + 1) / columnWidth) - 1))
  }

  #cellUnder(event) {
    const { left, top } = this.canvas.getBoundingClientRect()
    const { rowHeight, columnWidth, total } = this.#layout
    const [x, i] = [event.clientX - left - LABELS, Math.floor((event.clientY - top - TOP) / rowHeight)]
    const isInside = x >= 0 && x < total && i >= 0 && i < this.look.height
    return isInside ? [i, this.#columnAt(i, x, columnWidth)] : null
  }

  #paint() {
    if (!this.look || !this.box.clientWidth) return
    const { height } = this.look
    const { rowHeight, total } = this.#layout
    const [across, down] = [this.box.clientWidth, TOP + rowHeight * height]
    this.canvas.style.height = `${down}px`
    const pixels = [across, down].map((length) => Math.round(length * devicePixelRatio))
    if (this.canvas.width !== pixels[0] || this.canvas.height !== pixels[1]) {
      ;[this.canvas.width, this.canvas.height] = pixels
    }
    const pen = this.canvas.getContext("2d")
    pen.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0)
    pen.clearRect(0, 0, across, down)
    pen.globalAlpha = 1
    pen.imageSmoothingEnabled = false
    pen.drawImage(this.#picture(), LABELS, TOP, total, rowHeight * height)
    const style = getComputedStyle(this.box)
    pen.fillStyle = style.color
    pen.font = `12px ${style.getPropertyValue("--st-code-font") || "monospace"}, monospace`
    pen.textBaseline = "middle"
    if (this.font !== pen.font) {
      this.font = pen.font // the signs of invisible characters have a font that may still be on its way
      document.fonts.load(pen.font, "␠⏎⇥").then(() => this.#paint())
    }
    this.#labelRows(pen)
    this.#labelColumns(pen)
    this.#frame()
  }

  // A canvas with a pixel for each value, or for each pixel if the columns are narrower.
  #picture() {
    const { height, width, values, colorOf } = this.look
    const { columnWidth, total } = this.#layout
    const canvas = document.createElement("canvas")
    const across = columnWidth >= 1 ? width : Math.max(1, Math.floor(total))
    fill(canvas, across, height, (at) => {
      const [i, x] = [Math.floor(at / across), at % across]
      const j = columnWidth >= 1 ? x : this.#columnAt(i, x, columnWidth)
      return colorOf(values[i * width + j], i, j)
    })
    return canvas
  }

  #labelRows(pen) {
    const { height, followed, rowGlyph, isList, values } = this.look
    const { rowHeight } = this.#layout
    const every = Math.ceil(READABLE / rowHeight)
    for (let i = 0; i < height; i++) {
      const distance = Math.abs(i - followed)
      if (distance && (i % every || distance < every)) continue
      const y = TOP + (i + 0.5) * rowHeight
      pen.globalAlpha = distance ? 0.8 : 1
      pen.textAlign = "right"
      const { number, glyph } = rowGlyph(i)
      pen.fillText(every > 1 || !distance ? `${number} ${glyph}` : glyph, LABELS - 6, y)
      pen.textAlign = "left"
      if (isList) pen.fillText(`→ ${values[i]}`, LABELS + 4, y)
    }
  }

  #labelColumns(pen) {
    const { width, isList, isNumbered, columnGlyph } = this.look
    const { columnWidth } = this.#layout
    if (isList) return
    const every = isNumbered
      ? 2 ** Math.max(0, Math.ceil(Math.log2(NUMBER_ROOM / columnWidth)))
      : Math.ceil((READABLE - 2) / columnWidth)
    pen.globalAlpha = 0.8
    pen.textAlign = "center"
    for (let j = 0; j < width; j++) {
      const isLabeled = isNumbered ? (j + 1) % every === 0 || (j === 0 && every > 2) : j % every === 0
      if (!isLabeled) continue
      const label = columnGlyph(j)
      const half = pen.measureText(label).width / 2
      const room = this.box.clientWidth - half // the last one is not cut off
      pen.fillText(label, Math.min(LABELS + (j + 0.5) * columnWidth, room), TOP / 2)
    }
  }

  #frame() {
    const { height, followed } = this.look
    const { rowHeight, columnWidth, total } = this.#layout
    const put = (name, left, top, width, height) => {
      const sides = Object.entries({ left, top, width, height })
      Object.assign(this.box.querySelector(name).style, Object.fromEntries(sides.map(([side, at]) => [side, `${at}px`])))
    }
    put(".walked", LABELS, TOP + followed * rowHeight, total, rowHeight)
    this.box.classList.toggle("pointed", this.cell !== null)
    if (!this.cell) return
    const [i, j] = this.cell
    put(".row", LABELS, TOP + i * rowHeight, total, rowHeight)
    put(".column", LABELS + j * columnWidth, TOP, Math.max(1, columnWidth), rowHeight * height)
  }
}
