// The attention map of one head at all snapshots of a run, as a film: each row is a character, its columns the characters
// it attends to. `data`: name (of the head), text (one glyph per character), causal, colors, steps, notes, isComplete, and
// for each step its shares as bytes: the lower triangle, row q from q(q+1)/2 on, or all rows of a model that is not causal.

const LABEL = "Signs, 'Source Code Pro', monospace"
const LINE = 12 // pixels between two labels
const TITLE = 18
const FINE = 64 // characters up to which there is a gap between cells

class Film {
  constructor(root) {
    this.root = root
    this.canvas = root.querySelector("canvas")
    this.words = root.querySelector(".words")
    this.player = new Player(root, () => this.draw())
    this.pointed = null
    new ResizeObserver(() => this.data && this.draw()).observe(this.canvas)
    this.canvas.onpointermove = this.canvas.onpointerdown = (event) => this.#point(this.#cell(event))
    this.canvas.onpointerleave = (event) => event.pointerType === "mouse" && this.#point(null) // a tap stays
  }

  show(data, ask) {
    const isNew = data.run !== this.data?.run || data.about !== this.data.about
    const known = isNew ? new Map() : this.maps
    this.maps = new Map(data.steps.map((step, i) => [step, known.get(step) ?? bytes(data.shares[i])]))
    this.data = data
    this.glow = glow(this.canvas, data.colors)
    const { steps, notes, isComplete } = data
    this.player.update({ steps, notes, moment: 0, page: data.run, isComplete }, ask)
    if (this.pointed && Math.max(...this.pointed) >= data.text.length) this.pointed = null
    this.draw()
    if (this.wasStarted || steps.length < 2) return
    this.wasStarted = true
    if (!isStill()) this.player.play()
  }

  share(q, k) {
    const { causal, text } = this.data
    if (causal && k > q) return null
    return this.shares[causal ? (q * (q + 1)) / 2 + k : q * text.length + k]
  }

  draw() {
    const { canvas, data } = this
    const { width, height } = canvas.getBoundingClientRect()
    if (!width || !data.steps.length) return
    const N = data.text.length
    this.shares = this.maps.get(data.steps[this.player.at])
    const names = data.text.map(alone)
    const isWide = names.some((name) => Array.from(name).length > 2) // names of invisible characters
    const widest = isWide ? 48 : 18
    this.box = { left: TITLE + widest, top: TITLE + widest, right: width - 4, bottom: height - 22 }
    const { left, top, right, bottom } = this.box
    this.cell = [(right - left) / N, (bottom - top) / N]
    const [w, h] = this.cell
    canvas.width = Math.round(width * devicePixelRatio)
    canvas.height = Math.round(height * devicePixelRatio)
    const pen = canvas.getContext("2d")
    pen.scale(devicePixelRatio, devicePixelRatio)
    const gap = N <= FINE ? 1 : 0
    for (let q = 0; q < N; q++) {
      for (let k = 0; k < N; k++) {
        const share = this.share(q, k)
        if (share === null) break
        pen.fillStyle = this.glow.css[share]
        pen.fillRect(left + k * w, top + q * h, w - gap, h - gap)
      }
    }
    const style = getComputedStyle(canvas)
    pen.fillStyle = style.color
    pen.font = `12px ${LABEL}`
    pen.textBaseline = "middle"
    const every = (size) => Math.max(1, Math.ceil(LINE / size))
    for (let i = 0; i < N; i += every(h)) {
      pen.textAlign = "right"
      pen.fillText(names[i], left - 5, top + (i + 0.5) * h)
    }
    for (let i = 0; i < N; i += every(w)) {
      const x = left + (i + 0.5) * w
      pen.textAlign = isWide ? "left" : "center"
      if (isWide) this.#turned(pen, names[i], x, top - 5)
      else pen.fillText(names[i], x, top - 9)
    }
    pen.font = `12px ${style.fontFamily}`
    pen.textAlign = "center"
    pen.fillText("attended to (key)", (left + right) / 2, 8)
    this.#turned(pen, "attending (query)", 8, (top + bottom) / 2)
    this.#legend(pen, right, bottom)
    if (this.pointed) {
      const [q, k] = this.pointed
      pen.strokeStyle = style.color
      pen.lineWidth = 2
      pen.strokeRect(left + k * w, top + q * h, Math.max(2, w - gap), Math.max(2, h - gap))
    }
    canvas.setAttribute("aria-label", `${data.name}, attention map at ${data.notes[this.player.at]}`)
    this.#say()
  }

  #turned(pen, words, x, y) {
    pen.save()
    pen.translate(x, y)
    pen.rotate(-Math.PI / 2)
    pen.fillText(words, 0, 0)
    pen.restore()
  }

  #legend(pen, right, bottom) {
    const width = 120
    const y = bottom + 9
    for (let i = 0; i < width; i++) {
      pen.fillStyle = this.glow.css[Math.round((255 * i) / (width - 1))]
      pen.fillRect(right - width - 36 + i, y, 1, 9)
    }
    pen.fillStyle = getComputedStyle(this.canvas).color
    pen.textAlign = "right"
    pen.fillText("share of attention  0", right - width - 40, y + 5)
    pen.fillText("100\u00a0%", right, y + 5)
  }

  #cell(event) {
    if (!this.cell) return null
    const { x, y } = this.canvas.getBoundingClientRect()
    const k = Math.floor((event.clientX - x - this.box.left) / this.cell[0])
    const q = Math.floor((event.clientY - y - this.box.top) / this.cell[1])
    const N = this.data.text.length
    return q >= 0 && k >= 0 && q < N && k < N && this.share(q, k) !== null ? [q, k] : null
  }

  #point(at) {
    if (String(at) === String(this.pointed)) return
    this.pointed = at
    this.draw()
  }

  #say() {
    const named = (i) => `“${isolated(alone(this.data.text[i]))}” (${i + 1})`
    const [q, k] = this.pointed ?? []
    this.words.textContent = this.pointed
      ? `${named(q)} attends to ${k === q ? "itself" : named(k)}: ${percent(this.share(q, k))}`
      : "Point at a cell to read its share."
  }
}

export default function ({ data, parentElement: root, setTriggerValue }) {
  const place = root.querySelector(".play")
  place.film ??= new Film(place)
  place.film.show(data, () => setTriggerValue("more", true))
}
