// The loss curve of a run draws in six seconds, evenly in log(step), and below it stands what the run wrote last, up to
// that step. Afterwards it rests. The slider has a place for each sample. `data`: see `film_data` in plots/film.py.

const SECONDS = 6
const MOST_MS = 100 // of a frame: a window in the background does not miss the film
const MARGIN = { top: 12, right: 14, bottom: 40, left: 44 }

const isStill = () => matchMedia("(prefers-reduced-motion: reduce)").matches
const isKnown = (value) => value !== null && value !== undefined
const say = (place, words) => {
  if (place.textContent !== words) place.textContent = words
}

class Film {
  constructor(root) {
    this.root = root
    const find = (css) => root.querySelector(css)
    this.box = find(".box")
    this.svg = find("svg")
    this.button = find("button")
    this.slider = find("input")
    this.output = find("output")
    this.words = find(".heading span")
    this.prompt = find(".sample b")
    this.text = find(".sample span")
    this.time = 1 // from 0 to 1
    this.button.onclick = () => (this.isPlaying ? this.pause() : this.play(this.time >= 1 ? 0 : this.time))
    this.slider.oninput = () => {
      this.pause()
      this.#goTo(this.#timeOf(this.data.frames[Number(this.slider.value)].step))
    }
    new ResizeObserver(() => this.data && this.draw()).observe(this.box)
  }

  get isPlaying() {
    return this.timer !== undefined
  }

  show(data) {
    const isNew = data.about !== this.data?.about
    const isToPlay = isNew && !isStill()
    this.data = data
    this.slider.max = String(data.frames.length - 1)
    if (isToPlay) this.time = 0
    this.draw()
    if (isToPlay) this.play(0)
  }

  play(from) {
    this.pause()
    this.time = from
    let last = null
    const next = (now) => {
      this.timer = this.root.isConnected ? requestAnimationFrame(next) : undefined
      const passed = last === null ? 0 : Math.min(now - last, MOST_MS)
      last = now
      if (this.time + passed / 1000 / SECONDS >= 1) this.pause()
      this.#goTo(Math.min(1, this.time + passed / 1000 / SECONDS))
    }
    this.timer = requestAnimationFrame(next)
    this.#label()
  }

  pause() {
    cancelAnimationFrame(this.timer)
    this.timer = undefined
    this.#label()
  }

  #goTo(time) {
    this.time = time
    this.#show()
  }

  #timeOf(step) {
    return Math.log(Math.max(1, step)) / Math.log(this.data.max)
  }

  // Everything that does not move.
  draw() {
    const { data } = this
    const width = this.box.clientWidth
    const height = this.box.clientHeight
    if (!width) return
    const [left, right, top, bottom] = [MARGIN.left, width - MARGIN.right, MARGIN.top, height - MARGIN.bottom]
    const losses = [...data.raw, ...data.references.map(({ loss }) => loss)].filter(isKnown)
    this.x = new Scale([1, data.max], [left, right], true)
    this.y = new Scale([Math.min(...losses), Math.max(...losses)], [bottom - 8, top + 8])
    const y = new Scale([this.y.invert(bottom), this.y.invert(top)], [bottom, top])
    const ticks = y.ticks(34).filter((loss) => top <= this.y.at(loss) && this.y.at(loss) <= bottom)
    const middle = (top + bottom) / 2
    const path = (kind, values) => {
      const points = values.map((loss, i) => [this.x.at(data.step[i]), loss]).filter(([, loss]) => isKnown(loss))
      const d = points.map(([x, loss], i) => `${i ? "L" : "M"}${x.toFixed(1)},${this.y.at(loss).toFixed(1)}`).join("")
      return make("path", { class: `curve ${kind}`, d })
    }
    const clip = make("clipPath", { id: "drawn" })
    this.drawn = make("rect", { x: left - 4, y: 0, height, width: 0 })
    clip.append(this.drawn)
    const curves = make("g", { "clip-path": "url(#drawn)" })
    curves.append(path("raw", data.raw), path("smoothed", data.smoothed))
    this.pen = make("circle", { class: "pen", r: 5 })
    this.svg.replaceChildren(
      clip,
      ...ticks.map((loss) => make("line", { class: "grid", x1: left, x2: right, y1: this.y.at(loss), y2: this.y.at(loss) })),
      ...ticks.map((loss) =>
        make("text", { class: "tick", x: left - 6, y: this.y.at(loss) + 4, "text-anchor": "end" }, loss.toFixed(1))),
      ...this.x.ticks(44).map((step) =>
        make("text", { class: "tick", x: this.x.at(step), y: bottom + 16, "text-anchor": "middle" }, short(step))),
      make("text", { class: "title", x: (left + right) / 2, y: height - 5, "text-anchor": "middle" }, "training step"),
      make("text", { class: "title", transform: `translate(11 ${middle}) rotate(-90)`, "text-anchor": "middle" },
        "loss (nats per character)"),
      ...data.references.flatMap(({ name, loss }) => [
        make("line", { class: "reference", x1: left, x2: right, y1: this.y.at(loss), y2: this.y.at(loss) }),
        // where the curve is not: it falls from the left to the right
        loss < data.first_loss - 1
          ? make("text", { class: "label", x: left + 4, y: this.y.at(loss) + 14 }, name)
          : make("text", { class: "label", x: right, y: this.y.at(loss) - 5, "text-anchor": "end" }, name),
      ]),
      curves,
      this.pen,
    )
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`)
    this.svg.setAttribute("aria-label", data.alt)
    say(this.prompt, data.prompt)
    this.#show()
  }

  // What moves: the end of the curve, and the sample.
  #show() {
    const { data, time } = this
    if (!this.x) return
    const step = time >= 1 ? data.max : Math.exp(time * Math.log(data.max))
    const place = Math.max(0, data.step.findLastIndex((one) => one <= step))
    const loss = data.smoothed[place] ?? data.raw[place]
    this.drawn.setAttribute("width", this.x.at(step) - this.x.at(1) + 4)
    this.pen.setAttribute("cx", this.x.at(data.step[place]))
    this.pen.setAttribute("cy", this.y.at(loss))
    const seconds = data.seconds[place].toFixed(data.seconds[place] < 9.95 ? 1 : 0)
    say(this.output, `step ${count(data.step[place])} · loss ${loss.toFixed(2)} · ${seconds} s`)
    const number = time === 0 ? 0 : Math.max(0, data.frames.findLastIndex((frame) => frame.step <= step + 0.5))
    const frame = data.frames[number]
    const real = isKnown(frame.words) ? ` · ${Math.round(100 * frame.words)}\u00a0% real words` : ""
    const words = `at step ${count(frame.step)}${real}`
    this.slider.value = String(number)
    this.slider.setAttribute("aria-valuetext", words)
    say(this.words, words)
    say(this.text, frame.text)
    this.#label()
  }

  #label() {
    const name = this.isPlaying ? "Pause" : this.time >= 1 ? "Replay" : "Play"
    this.button.hidden = isStill()
    say(this.button, { Pause: "❚❚ Pause", Replay: "↻ Replay", Play: "▶ Play" }[name])
    this.button.setAttribute("aria-label", `${name} the film`)
  }
}

export default function ({ data, parentElement: root }) {
  const place = root.querySelector(".film")
  place.film ??= new Film(place)
  place.film.show(data[0])
}
