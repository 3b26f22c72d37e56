// The map of characters: each is drawn as itself at its place, at one moment of many. Pointing at one, or moving there with
// the arrow keys, draws lines to its nearest neighbors and lists them; the slider moves all through time.
// `data`: see `map_data` in plots/characters.py.

const MARGIN = { top: 8, right: 12, bottom: 36, left: 44 }
const PADDING = 14 // pixels between an edge and the outermost character
const NEAR = 28 // pixels within which a character is pointed at
const GLIDE = 450 // milliseconds of a move to another moment

const numbers = (text, kind) => new kind(bytes(text).buffer)

class Characters {
  constructor(root) {
    this.root = root
    this.svg = root.querySelector("svg")
    this.player = new Player(root, () => this.#glide())
    this.axes = make("g", { class: "axes", "aria-hidden": "true" })
    this.lines = make("g", { class: "lines", "aria-hidden": "true" })
    this.letters = make("g")
    this.marks = make("g", { class: "marks", "aria-hidden": "true" }) // those pointed at, above all others
    this.svg.append(this.axes, this.letters, this.lines, this.marks)
    this.pointed = null // the number of a character
    this.focused = null
    this.tab = 0
    this.svg.onpointermove = this.svg.onpointerdown = (event) => this.#point(this.#under(event))
    this.svg.onpointerleave = (event) => event.pointerType === "mouse" && this.#point(null) // a tap stays
    this.svg.onkeydown = (event) => this.#key(event)
    new ResizeObserver(() => this.data && this.#layOut()).observe(this.svg)
  }

  show(data, ask) {
    const V = data.characters.length
    const isOther = data.characters.join("\u0000") !== this.data?.characters.join("\u0000")
    this.data = data
    const points = numbers(data.points, Int16Array)
    this.moments = data.steps.map((_, m) => points.subarray(2 * V * m, 2 * V * (m + 1)))
    this.neighbors = numbers(data.neighbors, Int16Array)
    this.cosines = numbers(data.cosines, Int8Array)
    if (isOther) this.#rebuild()
    this.spans.forEach((letter, i) => (letter.style.fontSize = `${data.sizes[i]}px`))
    this.player.update(data, ask)
    if (isOther) this.#layOut()
    else this.#glide()
  }

  #rebuild() {
    const { characters, kinds, kind_names } = this.data
    Object.assign(this, { pointed: null, focused: null, tab: 0, now: null })
    this.spans = characters.map((character, i) => {
      const label = `${this.#nameOf(i)}, ${kind_names[kinds[i]]}`
      return make("text", { class: kinds[i], role: "option", tabindex: i ? -1 : 0, "aria-label": label }, character)
    })
    this.letters.replaceChildren(...this.spans)
    this.spans.forEach((letter, i) => {
      letter.onfocus = () => letter.matches(":focus-visible") && this.#focus(i)
      letter.onblur = () => this.#focus(null)
    })
    this.root.querySelector(".legend").replaceChildren(
      ...Object.entries(kind_names).filter(([kind]) => kinds.includes(kind)).map(([kind, name]) => {
        const entry = document.createElement("span")
        entry.className = kind
        entry.textContent = name
        return entry
      }),
    )
  }

  // ---- places

  #layOut() {
    const { width, height } = this.svg.getBoundingClientRect()
    if (!width) return
    this.frame = { left: MARGIN.left, right: width - MARGIN.right, top: MARGIN.top, bottom: height - MARGIN.bottom, width, height }
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`)
    this.now = null
    this.#glide()
  }

  // What is in view of the plane: its middle, and the length of a pixel. One scale for both axes: distances are true.
  #wholeView() {
    const { left, right, top, bottom } = this.frame
    const [[west, east], [south, north]] = this.data.extent
    const unit = Math.max((east - west) / (right - left - 2 * PADDING), (north - south) / (bottom - top - 2 * PADDING))
    return [(west + east) / 2, (south + north) / 2, unit]
  }

  #look([x, y, unit]) {
    const { left, right, top, bottom } = this.frame
    const around = (middle, length) => [middle - (length * unit) / 2, middle + (length * unit) / 2]
    this.x = new Scale(around(x, right - left), [left, right])
    this.y = new Scale(around(y, bottom - top), [bottom, top])
    this.#drawAxes()
  }

  #drawAxes() {
    const { left, right, top, bottom, width, height } = this.frame
    const share = (axis) => inPercent(this.data.shares[this.player.at][axis])
    const middle = (top + bottom) / 2
    this.axes.replaceChildren(
      ...this.x.ticks(46).flatMap((value) => [
        make("line", { class: value ? "grid" : "grid zero", x1: this.x.at(value), x2: this.x.at(value), y1: top, y2: bottom }),
        make("text", { x: this.x.at(value), y: bottom + 14, "text-anchor": "middle" }, value),
      ]),
      ...this.y.ticks(46).flatMap((value) => [
        make("line", { class: value ? "grid" : "grid zero", x1: left, x2: right, y1: this.y.at(value), y2: this.y.at(value) }),
        make("text", { x: left - 5, y: this.y.at(value) + 4, "text-anchor": "end" }, value),
      ]),
      make("text", { class: "title", x: (left + right) / 2, y: height - 5, "text-anchor": "middle" },
        `axis 1 (${share(0)} of the variance)`),
      make("text", { class: "title", transform: `translate(11 ${middle}) rotate(-90)`, "text-anchor": "middle" },
        `axis 2 (${share(1)} of the variance)`),
    )
    const { notes } = this.data
    this.svg.setAttribute("aria-label", `Map of ${this.spans.length} characters at ${notes[this.player.at]}`)
  }

  // Move to the moment of the player: at once at first and for those who want no motion.
  #glide() {
    if (!this.frame) return
    cancelAnimationFrame(this.frames)
    const points = Float64Array.from(this.moments[this.player.at], (value) => (value * this.data.reach) / 32767)
    const goal = [points, this.#wholeView()]
    const from = this.now && !isStill() ? [this.now, this.view] : goal
    const isSame = goal.every((values, part) => values.every((value, i) => value === from[part][i]))
    const began = performance.now()
    const step = () => {
      const part = isSame ? 1 : Math.min(1, (performance.now() - began) / GLIDE)
      const eased = part * part * (3 - 2 * part)
      const [now, view] = goal.map((values, n) => values.map((value, i) => from[n][i] + (value - from[n][i]) * eased))
      if (part === 1 || view.some((value, i) => value !== this.view?.[i])) this.#look(view)
      this.view = view
      this.#place(now)
      if (part < 1 && this.svg.isConnected) this.frames = requestAnimationFrame(step)
    }
    step()
    this.#say()
    this.#tell()
  }

  #place(now) {
    this.now = now
    this.spans.forEach((letter, i) => {
      letter.setAttribute("x", this.#xOf(i))
      letter.setAttribute("y", this.#yOf(i))
    })
    this.#drawLines()
  }

  #xOf(i) {
    return this.x.at(this.now[2 * i]).toFixed(1)
  }

  #yOf(i) {
    return this.y.at(this.now[2 * i + 1]).toFixed(1)
  }

  // ---- neighbors

  get looked() {
    return this.pointed ?? this.focused
  }

  #neighborsOf(i) {
    const { nearest } = this.data
    const start = (this.player.at * this.spans.length + i) * nearest
    const near = Array.from({ length: nearest }, (_, n) => [this.neighbors[start + n], this.cosines[start + n] / 127])
    return near.filter(([j]) => j >= 0) // a vector of zeros has none
  }

  #drawLines() {
    const i = this.looked
    const near = i === null ? [] : this.#neighborsOf(i)
    this.lines.replaceChildren(
      ...near.map(([j]) => make("line", { x1: this.#xOf(i), y1: this.#yOf(i), x2: this.#xOf(j), y2: this.#yOf(j) })),
    )
    const { characters, kinds, sizes } = this.data
    const copy = (j) => make("text", { class: `${kinds[j]} ${j === i ? "at" : "near"}`, x: this.#xOf(j), y: this.#yOf(j),
      style: `font-size: ${sizes[j]}px` }, characters[j])
    this.marks.replaceChildren(...(i === null ? [] : [...near.map(([j]) => copy(j)), copy(i)]))
  }

  #nameOf(i) {
    return spoken(this.data.characters[i])
  }

  #say() {
    const i = this.looked
    const { kinds, kind_names, frequencies, dimensions, characters } = this.data
    const near = i === null ? [] : this.#neighborsOf(i)
    const frequency = i === null || !frequencies.length ? "" : `, ${frequencies[i]} of the text`
    this.root.querySelector("h4").textContent = i === null ? "Nearest neighbors" : `“${isolated(characters[i])}”`
    this.root.querySelector(".about p").textContent =
      i === null
        ? "Point at a character, tap it, or use the arrow keys."
        : `${kind_names[kinds[i]]}${frequency}. ` +
          (near.length ? `Nearest in all ${dimensions} dimensions (cosine similarity):` : "Training has not changed it.")
    this.root.querySelector("ol").replaceChildren(
      ...near.map(([j, cosine]) => {
        const [row, name, track, value] = ["li", "b", "i", "span"].map((tag) => document.createElement(tag))
        name.textContent = characters[j]
        name.className = kinds[j]
        track.style.setProperty("--share", `${Math.max(0, 100 * cosine)}%`)
        value.textContent = cosine.toFixed(2)
        row.append(name, track, value)
        return row
      }),
    )
  }

  // For screen readers: the character that the keys have reached is named with its neighbors.
  #tell() {
    const near = this.#neighborsOf(this.tab).map(([j, cosine]) => `${this.#nameOf(j)} ${cosine.toFixed(2)}`)
    const { kinds, kind_names } = this.data
    const words = [this.#nameOf(this.tab), kind_names[kinds[this.tab]], ...(near.length ? ["nearest:", ...near] : [])]
    this.spans[this.tab].setAttribute("aria-label", words.join(", "))
  }

  // ---- pointing and keys

  #under(event) {
    if (!this.now) return null
    const box = this.svg.getBoundingClientRect()
    const [x, y] = [event.clientX - box.left, event.clientY - box.top]
    let [best, least] = [null, NEAR]
    this.spans.forEach((_, i) => {
      const distance = Math.hypot(this.#xOf(i) - x, this.#yOf(i) - y)
      if (distance < least) [best, least] = [i, distance]
    })
    return best
  }

  #point(i) {
    if (i === this.pointed) return
    this.pointed = i
    this.#say()
    this.#drawLines()
  }

  #focus(i) {
    this.focused = i
    this.#say()
    this.#drawLines()
  }

  // The nearest character in the direction of an arrow key: sideways counts twice.
  #toward(i, dx, dy) {
    let [best, least] = [i, Infinity]
    this.spans.forEach((_, j) => {
      const [x, y] = [this.#xOf(j) - this.#xOf(i), this.#yOf(j) - this.#yOf(i)]
      const along = x * dx + y * dy
      const cost = along + 2 * Math.abs(x * dy - y * dx)
      if (along > 0 && cost < least) [best, least] = [j, cost]
    })
    return best
  }

  #key(event) {
    const i = this.spans.indexOf(event.target)
    if (i < 0) return
    const to = {
      ArrowLeft: () => this.#toward(i, -1, 0), ArrowRight: () => this.#toward(i, 1, 0),
      ArrowUp: () => this.#toward(i, 0, -1), ArrowDown: () => this.#toward(i, 0, 1),
      Home: () => 0, End: () => this.spans.length - 1,
    }[event.key]?.()
    if (to === undefined) return
    event.preventDefault()
    this.spans[this.tab].setAttribute("tabindex", "-1")
    this.tab = to
    this.spans[to].setAttribute("tabindex", "0")
    this.#tell()
    this.pointed = null
    this.spans[to].focus()
  }
}

export default function ({ data, parentElement: root, setTriggerValue }) {
  const place = root.querySelector(".map")
  place.characters ??= new Characters(place)
  place.characters.show(data, () => setTriggerValue("more", true))
}
