// One score of every head at each snapshot, below the validation loss on the same axis: the logarithm of the step.
// Pointing shows the values at the nearest snapshot; a click, or arrow keys and Enter, choose it as the moment.
// `data`: see `head_scores_data` in plots/head_scores.py.

const MARGIN = { top: 26, right: 38, bottom: 38, left: 46 }
const LOSS_SHARE = 0.36 // of the height of both panels
const BETWEEN = 42 // pixels from one panel to the other, with the title of the lower one
const PADDING = 8 // pixels between an edge and the highest and the lowest loss
const CHANCE_WIDTH = 90 // pixels of the label of chance
const SINCE_WIDTH = 110 // pixels of the label "since step ..."
const LINE = 14 // pixels from one name to the next
const LEADER = 8 // pixels from the end of a line to its name, for the stroke that joins them
const MOST_NAMES = 8 // of heads, at the ends of their lines: the chosen one, and the highest that are clearly above chance
const ZERO_GAP = 20 // pixels between the "0" of the axis and its next label


class Plot {
  constructor(root) {
    this.root = root
    this.box = root.querySelector(".box")
    this.svg = root.querySelector("svg")
    this.tip = root.querySelector(".tip")
    this.choice = new Choice()
    this.pointed = null // the number of a snapshot
    new ResizeObserver(() => this.data && this.draw()).observe(this.box)
    this.svg.onpointermove = (event) => this.#point(this.#nearest(event))
    this.svg.onpointerleave = () => this.#point(null)
    this.svg.onclick = (event) => this.#choose(this.#nearest(event))
    this.box.onkeydown = (event) => this.#key(event)
    this.box.onblur = () => this.#point(null)
  }

  show(data, send) {
    if (data.steps.length !== this.data?.steps.length) this.pointed = null
    this.data = data
    this.choice.update(data.moment, send)
    this.draw()
  }

  draw() {
    const { data } = this
    const [width, height] = [this.box.clientWidth, this.box.clientHeight]
    if (!width) return
    Object.assign(this, { left: MARGIN.left, right: width - MARGIN.right, bottom: height - MARGIN.bottom })
    const room = this.bottom - MARGIN.top - BETWEEN
    const split = MARGIN.top + LOSS_SHARE * room
    this.x = new Scale([data.first, Math.max(data.last, 2 * data.first)], [this.left, this.right], true)
    const { loss } = data.validation
    const ends = loss.length ? [Math.min(...loss), Math.max(...loss)] : [0, 5]
    this.y = new Scale(ends, [split - PADDING, MARGIN.top + PADDING])
    const highest = data.is_share ? 1 : Math.max(data.chance, ...data.curves.flat())
    this.score = new Scale([0, highest], [this.bottom, split + BETWEEN])
    this.cursor = make("g", { class: "cursor" })
    this.svg.replaceChildren(
      ...this.#axes(MARGIN.top, split, this.y, "validation loss (nats per character)", (loss) => loss.toFixed(1)),
      ...this.#axes(split + BETWEEN, this.bottom, this.score, data.title, (share) => this.#inWords(share)),
      ...this.#steps(height),
      ...this.#curves(),
      ...this.#marks(),
      this.cursor,
    )
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`)
    this.svg.setAttribute("aria-label", data.alt)
    this.#say()
    this.#point(this.pointed)
  }

  #at(step) {
    return this.x.at(Math.max(step, this.data.first))
  }

  #inWords(share) {
    return this.data.is_share ? `${Math.round(100 * share)}\u00a0%` : share.toFixed(share < 10 ? 1 : 0)
  }

  #axes(top, bottom, scale, title, inWords) {
    const ends = [scale.invert(bottom), scale.invert(top)]
    const ticks = new Scale(ends, [bottom, top]).ticks(36).map((value) => [value, scale.at(value)])
    const isIn = ticks.filter(([, y]) => top - 0.5 <= y && y <= bottom + 0.5)
    return [
      ...isIn.map(([, y]) => make("line", { class: "grid", x1: this.left, x2: this.right, y1: y, y2: y })),
      ...isIn.map(([value, y]) => make("text", { class: "tick", x: this.left - 6, y: y + 4, "text-anchor": "end" }, inWords(value))),
      make("text", { class: "title", x: 2, y: top - 12 }, title),
    ]
  }

  #steps(height) {
    const zero = this.data.steps[0] === 0
    const ticks = this.x.ticks(56).filter((step) => !zero || this.x.at(step) > this.left + ZERO_GAP)
    return [
      ...(zero ? [0] : []).concat(ticks).map((step) =>
        make("text", { class: "tick step", x: this.#at(step), y: this.bottom + 16, "text-anchor": "middle" }, short(step))),
      make("text", { class: "axis", x: (this.left + this.right) / 2, y: height - 5, "text-anchor": "middle" }, "step (log)"),
    ]
  }

  #path(kind, steps, values, scale) {
    const d = steps.map((step, i) => `${i ? "L" : "M"}${this.#at(step).toFixed(1)},${scale.at(values[i]).toFixed(1)}`).join("")
    return make("path", { class: `curve ${kind}`, d })
  }

  #curves() {
    const { steps, curves, chosen, validation, chance } = this.data
    const dots = (kind, steps, values, scale) =>
      steps.map((step, i) => make("circle", { class: `dot ${kind}`, cx: this.#at(step), cy: scale.at(values[i]), r: 3 }))
    const others = curves.map((shares, i) => (i === chosen ? null : this.#path("head", steps, shares, this.score)))
    const y = this.score.at(chance)
    return [
      this.#path("validation", validation.step, validation.loss, this.y),
      ...dots("validation", validation.step, validation.loss, this.y),
      ...others.filter(Boolean),
      ...(steps.length ? [make("line", { class: "chance", x1: this.left, x2: this.right, y1: y, y2: y })] : []),
      ...(curves[chosen] ? [this.#path("head chosen", steps, curves[chosen], this.score)] : []),
      ...(curves[chosen] ? dots("chosen", steps, curves[chosen], this.score) : []),
    ]
  }

  #marks() {
    const { steps, curves, names, chosen, clear, chance, since } = this.data
    const marks = []
    const moment = this.choice.shown
    if (moment >= 0) {
      const x = this.#at(moment)
      marks.push(make("line", { class: "moment", x1: x, x2: x, y1: MARGIN.top, y2: this.bottom }))
    }
    if (!curves[chosen]) return marks
    const below = this.data.is_share ? -5 : 14 // of the line: a spread is never above that of chance
    const room = (edge) =>
      Math.min(...steps.map((step, i) => Math.abs(this.#at(step) - edge) > CHANCE_WIDTH ? Infinity : Math.abs(curves[chosen][i] - chance)))
    const isLeft = room(this.left) > room(this.right)
    const side = isLeft ? { x: this.left + 4 } : { x: this.right - 4, "text-anchor": "end" }
    const words = `${this.data.is_share ? "chance" : "all visible characters"} ${this.#inWords(chance)}`
    marks.push(make("text", { class: "label", ...side, y: this.score.at(chance) + below }, words))
    const ends = curves.map((curve) => curve.at(-1))
    const named = [chosen, ...clear.filter((i) => i !== chosen).slice(0, MOST_NAMES - 1)]
    const places = spread(named.map((i) => this.score.at(ends[i]) + 4), this.score.pixels[1], this.bottom, LINE)
    named.forEach((i, n) => {
      const end = this.#at(steps.at(-1)) + 3
      marks.push(make("path", { class: "leader", d: `M${end},${this.score.at(ends[i])}L${end + LEADER},${places[n] - 4}` }))
      const place = { x: end + LEADER + 2, y: places[n] }
      marks.push(make("text", { class: `label name ${i === chosen ? "chosen" : ""}`, ...place }, names[i]))
    })
    const i = steps.indexOf(since)
    if (i >= 0) {
      const [x, y] = [this.#at(since), this.score.at(curves[chosen][i])]
      const isLate = x + SINCE_WIDTH > this.right
      marks.push(make("path", { class: "since", d: `M${x},${y - 7}l7,7l-7,7l-7,-7z` }))
      const place = { x: x + (isLate ? -11 : 11), y: y + 14, "text-anchor": isLate ? "end" : "start" }
      marks.push(make("text", { class: "label", ...place }, `since step ${count(since)}`))
    }
    return marks
  }

  // ---- pointing and choosing

  #nearest(event) {
    const x = event.clientX - this.svg.getBoundingClientRect().left
    const distances = this.data.steps.map((step) => Math.abs(this.#at(step) - x))
    return distances.length ? distances.indexOf(Math.min(...distances)) : null
  }

  #point(i) {
    this.pointed = i
    this.cursor.replaceChildren()
    this.tip.hidden = true
    if (i === null) return
    const { steps, curves, names, chosen, chance } = this.data
    const x = this.#at(steps[i])
    this.cursor.append(make("line", { x1: x, x2: x, y1: MARGIN.top, y2: this.bottom }))
    const shares = curves.map((curve) => curve[i])
    const most = shares.indexOf(Math.max(...shares))
    const rows = [
      ["", `step ${count(steps[i])}`],
      ["validation loss", this.#lossAt(steps[i])],
      [`head ${names[chosen]}`, this.#inWords(shares[chosen])],
      [`highest: ${names[most]}`, this.#inWords(shares[most])],
      [this.data.is_share ? "chance" : "all visible", this.#inWords(chance)],
      ["", steps[i] === this.choice.shown ? "shown on all pages" : "Click to go to this step"],
    ]
    showTip(this.tip, rows.filter(([, value]) => value), x, this.right)
    this.tip.style.top = `${MARGIN.top}px`
    this.#say()
  }

  // The validation loss at the last check up to a step.
  #lossAt(step) {
    const { validation } = this.data
    const i = validation.step.findLastIndex((checked) => checked <= step)
    return i < 0 ? "" : validation.loss[i].toFixed(3)
  }

  #say() {
    const { steps, curves, chosen } = this.data
    const shown = steps.indexOf(this.choice.shown)
    const i = this.pointed ?? (shown < 0 ? steps.length - 1 : shown)
    this.box.setAttribute("aria-valuemin", String(steps[0] ?? 0))
    this.box.setAttribute("aria-valuemax", String(steps.at(-1) ?? 0))
    this.box.setAttribute("aria-valuenow", String(steps[i] ?? 0))
    this.box.setAttribute("aria-valuetext", curves[chosen] ? `step ${count(steps[i])}: ${this.#inWords(curves[chosen][i])}` : "")
  }

  #choose(i) {
    if (i === null || this.data.steps[i] === this.choice.shown) return
    this.choice.make(this.data.steps[i], this.box)
    this.draw()
  }

  #key(event) {
    const last = this.data.steps.length - 1
    if (last < 0) return
    const at = this.pointed ?? Math.max(0, this.data.steps.indexOf(this.choice.shown))
    if (event.key === "Enter" || event.key === " ") this.#choose(this.pointed)
    else if (event.key === "Escape") this.#point(null)
    else {
      const to = {
        ArrowLeft: at - 1, ArrowDown: at - 1, ArrowRight: at + 1, ArrowUp: at + 1, Home: 0, End: last,
      }[event.key]
      if (to === undefined) return
      this.#point(Math.min(Math.max(to, 0), last))
    }
    event.preventDefault()
  }
}

export default function ({ data, parentElement: root, setTriggerValue }) {
  const place = root.querySelector(".plot")
  place.plot ??= new Plot(place)
  place.plot.show(data[0], (step) => setTriggerValue("chosen", step))
}
