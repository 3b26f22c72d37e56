// The loss of a run against its steps. The page keeps the wheel and the finger: a mouse zooms by dragging a range or by
// Ctrl+wheel, two fingers by a pinch, and "Reset zoom" is there while zoomed. Pointing anywhere shows the nearest step;
// what a finger pointed at stays until the next touch. A tap chooses nothing: it takes a button or a label.
// `data`: see `loss_data` in plots/loss.py.

const MARGIN = { top: 8, right: 62, bottom: 40, left: 58 }
const NARROW_MARGIN = { top: 8, right: 40, bottom: 38, left: 40 }
const SIDE = 10 // pixels between an edge and the first and the last step, for half of a mark
const PADDING = 20 // pixels between an edge and the highest and the lowest value
const LINE = 15 // pixels from one label to the next
const CHANGE_ROWS = 4 // of labels of live changes, at the top
const CLICK = 6 // pixels that a pointer may move during a click
const LEAST_ZOOM = 8 // pixels

const known = (value) => value !== null && value !== undefined
const choices = (loss) => {
  const number = Math.exp(Math.min(loss, 20))
  return number < 10 ? number.toFixed(1) : number.toFixed(0)
}
const pen = document.createElement("canvas").getContext("2d")
const widthOf = (text) => ((pen.font = "12px sans-serif"), 4 + 1.06 * pen.measureText(text).width)

const isTouch = ({ pointerType }) => pointerType === "touch"

// The place of `x` in the sorted `xs`, or that of the value before it; -1 if all are greater.
const before = (xs, x) => {
  let [low, high] = [0, xs.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (xs[middle] <= x) low = middle + 1
    else high = middle
  }
  return low - 1
}

class Plot {
  constructor(root) {
    this.root = root
    this.box = root.querySelector(".box")
    this.svg = root.querySelector("svg")
    this.tip = root.querySelector(".tip")
    this.reset = root.querySelector(".reset")
    this.zoom = null // [first, last] on the x-axis
    this.pointers = new Map()
    new ResizeObserver(() => this.data && this.draw()).observe(this.box)
    this.reset.onclick = () => this.#zoomTo(null)
    this.svg.ondblclick = () => this.#zoomTo(null)
    this.svg.onpointerdown = (event) => this.#press(event)
    this.svg.onpointermove = (event) => this.#move(event)
    this.svg.onpointerup = (event) => this.#release(event)
    this.svg.onpointercancel = (event) => (this.#cancel(event), this.#point(null))
    this.svg.onpointerleave = (event) => isTouch(event) || this.#point(null)
    this.tip.onpointerdown = (event) => event.stopPropagation()
    this.tip.onclick = () => this.#guess(this.pointed) // here, because its button may be drawn anew before it is released
    this.forget = () => this.#point(null)
    this.svg.onkeydown = (event) => this.#key(event)
    this.svg.addEventListener("wheel", (event) => this.#wheel(event), { passive: false })
  }

  show(data, send) {
    if (data.about !== this.data?.about || data.axis !== this.data?.axis) this.zoom = null
    Object.assign(this, { data, send })
    this.draw()
  }

  // ---- drawing

  draw() {
    const { data } = this
    this.width = this.box.clientWidth
    this.height = this.box.clientHeight
    if (!this.width) return
    const margin = this.width < 480 ? NARROW_MARGIN : MARGIN
    this.left = margin.left
    this.right = this.width - margin.right
    this.top = margin.top
    this.bottom = this.height - margin.bottom
    this.whole = data.domain ?? [0, Math.max(1, ...[data.training, ...data.others].map(({ x }) => x.at(-1) ?? 0))]
    this.x = new Scale(this.zoom ?? this.whole, [this.left + SIDE, this.right - SIDE], data.axis === "log")
    this.y = new Scale(this.#range(), [this.bottom - PADDING, this.top + PADDING])
    const clip = make("clipPath", { id: "inside" })
    clip.append(make("rect", { x: this.left, y: this.top, width: this.right - this.left, height: this.bottom - this.top }))
    const curves = make("g", { "clip-path": "url(#inside)" })
    curves.append(...this.#references(), ...this.#others(), ...this.#curves(), ...this.#marks())
    this.cursor = make("g", { class: "cursor" })
    this.svg.replaceChildren(clip, ...this.#axes(), curves, ...this.#labels(), this.cursor)
    this.svg.setAttribute("viewBox", `0 0 ${this.width} ${this.height}`)
    this.svg.setAttribute("aria-label", data.alt)
    this.reset.hidden = !this.zoom
    this.root.querySelector(".old").hidden = !data.old
    this.root.querySelector("em").textContent = data.rate
    this.root.classList.toggle("guessing", data.can_guess)
    if (this.pointed) this.#point(this.pointed)
  }

  // The lowest and the highest loss to show.
  #range() {
    const [low, high] = this.x.domain
    const losses = []
    const { training, validation, old, others } = this.data
    for (const { x, ...columns } of [training, validation, old, ...others].filter(Boolean)) {
      for (const name of ["raw", "smoothed", "loss"])
        columns[name]?.forEach((loss, i) => known(loss) && low <= x[i] && x[i] <= high && losses.push(loss))
    }
    if (!this.zoom || !losses.length) {
      losses.push(...this.data.references.map(({ loss }) => loss))
      losses.push(...this.data.marks.map(({ loss }) => loss).filter(known))
    }
    return losses.length ? [Math.min(...losses), Math.max(...losses)] : [0, 5]
  }

  #axes() {
    const ends = [this.y.invert(this.bottom), this.y.invert(this.top)]
    const ticks = new Scale(ends, [this.bottom, this.top]).ticks(38)
    const places = ticks.map((loss) => [loss, this.y.at(loss)]).filter(([, y]) => this.top <= y && y <= this.bottom)
    const middle = (this.top + this.bottom) / 2
    const digits = ticks.length > 1 && ticks[1] - ticks[0] < 0.1 ? 2 : 1
    const isNarrow = this.width < 480
    const title = (x, text) =>
      make("text", { class: "title", transform: `translate(${x} ${middle}) rotate(-90)`, "text-anchor": "middle" }, text)
    return [
      ...places.map(([, y]) => make("line", { class: "grid", x1: this.left, x2: this.right, y1: y, y2: y })),
      ...places.map(([loss, y]) =>
        make("text", { class: "tick", x: this.left - 6, y: y + 4, "text-anchor": "end" }, loss.toFixed(digits))),
      ...places.map(([loss, y]) => make("text", { class: "tick", x: this.right + 6, y: y + 4 }, choices(loss))),
      ...this.x.ticks(isNarrow ? 44 : 56).map((x) =>
        make("text", { class: "tick step", x: this.x.at(x), y: this.bottom + 16, "text-anchor": "middle" }, short(x))),
      make("text", { class: "title", x: (this.left + this.right) / 2, y: this.height - 5, "text-anchor": "middle" },
        this.data.x_title),
      title(11, "loss (nats per character)"),
      title(this.width - 3, isNarrow ? "e^loss (choices)" : "e^loss (equally likely choices)"),
    ]
  }

  #path(kind, xs, losses, attributes = {}) {
    let d = ""
    let isDrawing = false
    losses.forEach((loss, i) => {
      if (known(loss) && known(xs[i])) {
        d += `${isDrawing ? "L" : "M"}${this.x.at(xs[i]).toFixed(1)},${this.y.at(loss).toFixed(1)}`
        isDrawing = true
      } else if (known(xs[i]) && kind !== "raw" && kind !== "smoothed") isDrawing = false
    })
    return make("path", { class: `curve ${kind}`, d, ...attributes })
  }

  #dots(kind, { x, loss }) {
    return x.map((x, i) => make("circle", { class: `dot ${kind}`, cx: this.x.at(x), cy: this.y.at(loss[i]), r: 3 }))
  }

  #curves() {
    const { training, validation, old } = this.data
    return [
      this.#path("raw", training.x, training.raw),
      this.#path("smoothed", training.x, training.smoothed),
      ...(old ? [this.#path("old", old.x, old.loss), ...this.#dots("old", old)] : []),
      this.#path("validation", validation.x, validation.loss),
      ...this.#dots("validation", validation),
    ]
  }

  #others() {
    return this.data.others.flatMap((other) => {
      const style = `--other: var(--other-${other.color})`
      const line = this.#path("other", other.x, other.loss, { style })
      const wide = this.#path("hit", other.x, other.loss)
      wide.dataset.run = other.id
      return [line, wide]
    })
  }

  #references() {
    return this.data.references.map(({ loss }) =>
      make("line", { class: "reference", x1: this.left, x2: this.right, y1: this.y.at(loss), y2: this.y.at(loss) }))
  }

  #marks() {
    return this.data.marks.map(({ kind, x, loss }) => {
      const at = this.x.at(x)
      if (kind === "passed") {
        const y = this.y.at(loss)
        return make("path", { class: "mark passed", d: `M${at},${y - 8}l8,8l-8,8l-8,-8z` })
      }
      if (kind === "guess") {
        const y = this.y.at(loss)
        return make("path", { class: "mark guess", d: `M${this.right - 2},${y}l-12,-6v12z` })
      }
      return make("line", { class: `mark ${kind}`, x1: at, x2: at, y1: this.top, y2: this.bottom })
    })
  }

  // Reference losses on the left; on the right the guess and, at the top, where falling curves leave room, the other
  // runs; live changes in rows above all.
  #labels() {
    const { data } = this
    const isInside = (y) => this.top <= y && y <= this.bottom
    const tops = data.marks.filter(({ kind, x }) => ["change", "moment"].includes(kind) && this.#isInDomain(x)).reverse()
    const middle = (this.left + this.right) / 2
    const spans = tops.map(({ x, note }) => {
      const at = this.x.at(x)
      return at > middle ? [at - 8 - widthOf(note), at] : [at, at + 8 + widthOf(note)]
    })
    const rows = rowsOf(spans, CHANGE_ROWS)
    const labels = tops.flatMap(({ kind, x, note }, i) => {
      if (rows[i] < 0) return []
      const isLate = this.x.at(x) > middle
      const place = { x: this.x.at(x) + (isLate ? -5 : 5), y: this.top + 11 + rows[i] * LINE }
      return [make("text", { class: `label ${kind}`, ...place, "text-anchor": isLate ? "end" : "start" }, note)]
    })
    const highest = this.top + LINE * (1 + Math.max(-1, ...rows)) + 11
    const lines = data.references.map(({ name, loss }) => ({ text: `${name} · ${loss.toFixed(3)}`, y: this.y.at(loss) + 14 }))
    const ends = data.others
      .filter(({ loss }) => loss.length)
      .map((other) => ({ text: this.#nameOf(other), y: highest, run: other.id, color: other.color }))
    ends.push(...data.marks.filter(({ kind }) => kind === "guess")
      .map(({ note, loss }) => ({ text: note, y: this.y.at(loss) + 4, indent: 16 })))
    const widest = (some) => Math.max(0, ...some.map(({ text }) => widthOf(text) + 20))
    const isTight = widest(lines) + widest(ends) > this.right - this.left
    for (const column of isTight ? [[...lines, ...ends]] : [lines, ends]) {
      const shown = column.filter(({ y }) => isInside(y))
      const places = spread(shown.map(({ y }) => y), highest, this.bottom - 4, LINE)
      shown.forEach((label, i) => (label.place = places[i]))
    }
    for (const { text, place } of lines.filter(({ place }) => place))
      labels.push(make("text", { class: "label line", x: this.left + 6, y: place }, text))
    for (const { text, place, run, color, indent = 6 } of ends.filter(({ place }) => place)) {
      const label = make("text", { class: "label end", x: this.right - indent, y: place, "text-anchor": "end" }, text)
      if (run) {
        label.prepend(make("tspan", { class: "swatch", style: `--other: var(--other-${color})` }, "━ "))
        label.dataset.run = run
        Object.entries({ role: "button", tabindex: "0" }).forEach(([name, value]) => label.setAttribute(name, value))
      }
      labels.push(label)
    }
    return labels
  }

  #nameOf({ name, note, loss }) {
    return `${name} · ${this.width < 480 ? "" : `${note} · `}${loss.at(-1).toFixed(3)}`
  }

  #isInDomain(x) {
    const [low, high] = this.x.domain
    return low <= x && x <= high
  }

  #isInside({ x, y }) {
    return this.left <= x && x <= this.right && this.top <= y && y <= this.bottom
  }

  // ---- pointing

  #point(at) {
    this.pointed = at
    this.tip.hidden = true
    this.cursor?.replaceChildren()
    if (!at || !this.x || !this.#isInside(at)) return
    const { training, validation, old, others, can_guess } = this.data
    const rows = []
    let x = at.x
    if (training.x.length) {
      const wanted = this.x.invert(at.x)
      let i = Math.max(0, before(training.x, wanted))
      if (i + 1 < training.x.length && training.x[i + 1] - wanted < wanted - training.x[i]) i += 1
      x = this.x.at(training.x[i])
      rows.push(["", `step ${count(training.step[i])}`])
      if (known(training.smoothed[i])) rows.push(["training", training.smoothed[i].toFixed(3)])
      const curves = [["validation", validation], ["old text", old]].filter(([, curve]) => curve)
      const ongoing = others.filter((one) => one.x.at(-1) >= training.x[i]).map((one) => [one.name, one])
      for (const [name, curve] of [...curves, ...ongoing]) {
        const [loss, isMeasured] = this.#drawn(curve, training.x[i])
        if (known(loss)) rows.push([name, `${isMeasured ? "" : "≈ "}${loss.toFixed(3)}`])
      }
      const now = this.#drawn(validation, training.x[i])[0] ?? training.smoothed[i]
      if (known(now)) rows.push(["as unsure as", `${choices(now)} equal choices`])
      const notes = this.data.marks.filter((mark) => mark.note && mark.kind !== "guess" && Math.abs(this.x.at(mark.x) - x) < 8)
      rows.push(...notes.map(({ note }) => ["", note]))
    } else {
      const loss = this.y.invert(at.y)
      rows.push(["loss", loss.toFixed(2)], ["as unsure as", `${choices(loss)} equal choices`])
    }
    if (can_guess && !at.isTouch) rows.push(["", "Click to guess this final loss"])
    this.cursor.append(make("line", { x1: x, x2: x, y1: this.top, y2: this.bottom }))
    if (can_guess) this.cursor.append(make("line", { x1: this.left, x2: this.right, y1: at.y, y2: at.y }))
    showTip(this.tip, rows, x, this.right)
    if (can_guess && at.isTouch) {
      const button = Object.assign(document.createElement("button"), { type: "button" })
      button.textContent = `Guess ${this.#lossAt(at).toFixed(3)} as the final loss`
      this.tip.append(button)
    }
    const high = this.tip.offsetHeight
    this.tip.style.top = `${Math.max(this.top, Math.min(at.y - high / 2, this.bottom - high))}px`
  }

  #lossAt({ y }) {
    return Math.max(0, Math.round(100 * this.y.invert(y)) / 100)
  }

  #guess(at) {
    if (at.isTouch) this.#point(null)
    this.send("guessed", this.#lossAt(at))
  }

  // [the loss of a curve as drawn at `x`, whether it was measured there]: between two checks it is on a straight line.
  #drawn(curve, x) {
    const i = before(curve.x, x)
    const [low, high] = [curve.loss[i], curve.loss[i + 1]]
    if (curve.x[i] === x || !known(low) || !known(high)) return [low, true]
    const [from, to] = [this.x.at(curve.x[i]), this.x.at(curve.x[i + 1])]
    return [low + ((this.x.at(x) - from) / (to - from)) * (high - low), false]
  }

  #key(event) {
    const run = event.target.dataset?.run
    if (run && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault()
      this.send("opened", run)
    } else if (event.key === "Escape") this.#zoomTo(null)
  }

  // ---- zooming

  #zoomTo(domain) {
    if (domain) {
      const [low, high] = this.whole
      domain = [Math.max(low, domain[0]), Math.min(high, domain[1])]
      if (!(domain[0] < domain[1])) return
      if (domain[0] <= low && domain[1] >= high) domain = null
    }
    this.zoom = domain
    this.draw()
  }

  #wheel(event) {
    if (!event.ctrlKey) return // the page scrolls
    event.preventDefault()
    const { x } = this.#place(event)
    const share = Math.exp(Math.max(-1, Math.min(1, event.deltaY / 300)))
    this.#zoomTo(this.x.pixels.map((edge) => this.x.invert(x + (edge - x) * share)))
  }

  #place(event) {
    const box = this.svg.getBoundingClientRect()
    return { x: event.clientX - box.left, y: event.clientY - box.top, isTouch: isTouch(event) }
  }

  #press(event) {
    const place = this.#place(event)
    const run = event.target.closest(place.isTouch ? ".label[data-run]" : "[data-run]")?.dataset.run
    this.pointers.set(event.pointerId, { start: place, now: place, run })
    if (this.pointers.size < 2) return
    this.#point(null)
    this.pinched = [...this.pointers.values()].map(({ now }) => this.x.invert(now.x))
  }

  #move(event) {
    const place = this.#place(event)
    const pointer = this.pointers.get(event.pointerId)
    if (!pointer) return this.#point(place)
    pointer.now = place
    if (this.pinched && this.pointers.size === 2) {
      const places = [...this.pointers.values()].map(({ now }) => now.x)
      if (Math.abs(places[1] - places[0]) > LEAST_ZOOM) this.#zoomTo(this.x.domainWith(this.pinched, places))
      return
    }
    if (place.isTouch) return this.#point(place)
    if (Math.abs(place.x - pointer.start.x) <= CLICK) return
    this.svg.setPointerCapture(event.pointerId)
    this.#point(null)
    const [from, to] = this.#dragged(pointer)
    this.cursor.append(make("rect", { class: "range", x: from, width: to - from, y: this.top, height: this.bottom - this.top }))
  }

  #dragged({ start, now }) {
    return [start.x, now.x].map((x) => Math.min(this.right, Math.max(this.left, x))).sort((a, b) => a - b)
  }

  #release(event) {
    const pointer = this.pointers.get(event.pointerId)
    const wasPinch = this.pinched
    this.#cancel(event)
    if (!pointer || wasPinch) return
    const { start, now, run } = pointer
    const isClick = Math.hypot(now.x - start.x, now.y - start.y) <= CLICK
    if (isClick && run) this.send("opened", run)
    else if (isClick || now.isTouch) {
      this.#point(now)
      if (now.isTouch) document.addEventListener("pointerdown", this.forget, { once: true })
      else if (this.data.can_guess && this.#isInside(now)) this.#guess(now)
    } else {
      const [from, to] = this.#dragged(pointer)
      this.#point(null)
      if (to - from >= LEAST_ZOOM) this.#zoomTo([this.x.invert(from), this.x.invert(to)])
    }
  }

  #cancel(event) {
    this.pointers.delete(event.pointerId)
    if (!this.pointers.size) this.pinched = null
  }
}

export default function ({ data, parentElement: root, setTriggerValue }) {
  const place = root.querySelector(".plot")
  place.plot ??= new Plot(place)
  place.plot.show(data[0], setTriggerValue)
}
