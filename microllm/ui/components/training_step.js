// One training step in five stages. All of a step is here once it is computed: a stage shows what belongs to it
// (data-from), and the server is asked only for another step. `data` is made by ui/parts/training_step.py; before the
// first step is computed, it has the text but no numbers. `chosen` is the number of steps that the person wants to have
// taken, 0 to start again; `more` asks for what has been computed since.

const STAGES = ["Text", "Prediction", "Loss", "Gradient", "Update"]
const LAST = STAGES.length
const STAGE_TIME = 6000 // milliseconds on a stage while it plays
const ASK_TIME = 200 // milliseconds until the server is asked again for a step that it computes
const REVEAL_TIME = 1600 // milliseconds in which what a stage shows appears, one after another
const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP] = [380, 78, 34, 15, 5] // of the curve, in its own units

const make = (tag, className, words) => {
  const made = document.createElement(tag)
  if (className) made.className = className
  if (words !== undefined) made.textContent = words
  return made
}
const from = (stage, element, i = 0) => {
  element.dataset.from = stage
  element.style.setProperty("--i", i)
  return element
}
const say = (place, words) => {
  if (place.textContent !== words) place.textContent = words
}
const drawn = (tag, attributes, words) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag)
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value)
  if (words !== undefined) made.textContent = words
  return made
}

const nats = (value) => value.toFixed(3)
const signed = (value) => `${value > 0 ? "+" : "−"}${Math.abs(value).toFixed(3)}`
const size = (value) => (value === 0 ? "0" : value >= 0.001 ? Number(value.toPrecision(2)).toString() : value.toExponential(0).replace("-", "−"))
const hundredths = (chance) => (chance > 0 && chance < 0.005 ? "<1" : String(Math.round(100 * chance)))

// A round number at or above `value`, for the end of an axis.
const roundUp = (value) => {
  const power = 10 ** Math.floor(Math.log10(value))
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((one) => one * power >= value * 0.999) * power
}

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".step")
  const find = (name) => root.querySelector(name)
  const { numbers } = data
  const state = (root.state ??= { stage: 1, timer: null, choice: new Choice() })
  const isStill = () => matchMedia("(prefers-reduced-motion: reduce)").matches
  const speed = () => Number(find(".speed").value)
  const gray = glow(root, data.colors.text)
  for (const name of ["training", "validation", "positive"])
    root.style.setProperty(`--${name}`, data.colors[name][gray.isDark ? "dark" : "light"])

  state.choice.update(data.wanted, (value) => setTriggerValue("chosen", value))

  // ---- what is drawn, when there are other numbers

  const cell = (i, className, words) => {
    const made = make("span", className, words)
    made.style.gridColumn = i + 2
    made.dataset.place = i
    return made
  }
  const row = (name, stages, words, cells, ...notes) => {
    const made = make("div", `row ${name}`)
    const label = make("span", "label", words)
    label.dataset.stages = stages
    label.append(...notes.map((note) => (typeof note === "string" ? make("small", "", note) : note)))
    made.append(label, ...cells)
    return made
  }

  // What stands at a place, one below the other; `fill(i)` has the content once there are numbers.
  const cells = (className, fill) => data.inputs.map((_, i) => {
    const made = cell(i, className)
    if (numbers) made.append(...fill(i))
    return made
  })
  const shares = (which, stage) =>
    cells("", (i) => [from(stage, make("span", "", hundredths(numbers.chances[which][i])), i)])

  const drawWindow = () => {
    const top = numbers && roundUp(Math.max(...numbers.losses.flat(), numbers.blind, 0.1))
    const height = (value) => `${(100 * value) / top}%`
    const guesses = cells("", (i) =>
      numbers.guesses[i].map(([glyph, chance]) => {
        const guess = from(2, make("b", glyph === data.targets[i] ? "right" : "", glyph), i)
        const shade = Math.round(255 * chance)
        guess.style.background = gray.css[shade]
        guess.style.color = gray.ink[shade]
        return guess
      }),
    )
    const bars = cells("bar", (i) => {
      const [before, after] = numbers.losses
      const bar = from(3, make("i"), i)
      bar.style.setProperty("--height", height(before[i]))
      const mark = from(5, make("b"), i)
      mark.style.bottom = height(after[i])
      return [bar, mark]
    })
    const plot = row("bars", "3", "Loss", bars, "−ln p, nats")
    if (numbers) {
      const [loss] = numbers.loss
      const axis = make("span", "axis")
      axis.append(...[top, top / 2, 0].map((tick) => make("i", "", String(Number(tick.toPrecision(2))))))
      plot.firstChild.append(
        from(3, make("small", "mean", `mean ${nats(loss)}`)), from(5, make("small", "after", "after")), axis,
      )
      const mean = from(3, make("em"), data.inputs.length)
      mean.style.bottom = height(loss)
      const layer = make("span", "layer")
      layer.style.gridColumn = "2 / -1"
      layer.append(mean)
      plot.append(layer)
    }
    root.style.setProperty("--places", data.inputs.length)
    find(".window").replaceChildren(
      row("inputs", "1", "Input", data.inputs.map((glyph, i) => cell(i, "", glyph))),
      row("targets", "1", "Target", data.targets.map((glyph, i) => cell(i, "", glyph)), "one later"),
      row("tiles", "2", "Guesses", guesses, "most likely", "on top"),
      row("shares", "2", "Right one, %", shares(0, 2)),
      row("shares", "5", "after update, %", shares(1, 5)),
      plot,
    )
  }

  const drawParts = () => {
    const largest = [0, 1].map((which) => numbers && Math.max(...numbers.parts.map((part) => part[which]), 1e-30))
    const bar = (stage, part, i, words) => {
      const made = make("span", stage === 4 ? "gradient" : "moved")
      if (!numbers) return made
      const value = numbers.parts[part][stage - 4]
      const filled = from(stage, make("i"), i)
      filled.style.setProperty("--part", value / largest[stage - 4])
      made.append(filled, from(stage, make("small", "", words(value)), i))
      return made
    }
    const last = data.names.length - 1
    find(".parts ol").replaceChildren(
      ...data.names.map((name, i) => {
        const line = make("li")
        line.style.setProperty("--i", i)
        line.append(
          make("span", "name", name),
          bar(4, i, last - i, size), // back from the last part
          bar(5, i, last - i, (moved) => `${size(100 * moved)} %`),
        )
        return line
      }),
    )
    root.style.setProperty("--parts", data.names.length)
  }

  const drawResult = () => {
    const entry = (name, words, losses, stage) => {
      const value = make("dd")
      if (numbers) {
        const [before, after] = losses
        value.append(
          from(stage, make("b", "", nats(before))),
          from(5, make("span", "", " → ")),
          from(5, make("b", "", nats(after))),
          from(5, make("small", "", ` ${signed(after - before)}`)),
        )
      }
      return [make("dt", name, words), value]
    }
    find("dl").replaceChildren(
      ...entry("batch", "this batch", numbers?.loss, 3),
      ...entry("held-out", "held-out text", numbers?.heldOut, 5),
    )
    if (numbers) drawCurve(numbers.curve)
    else find("svg").replaceChildren()
  }

  const drawCurve = ({ batch, heldOut }) => {
    const values = [...batch.flat(), ...heldOut]
    const margin = Math.max(0.02, (Math.max(...values) - Math.min(...values)) * 0.08)
    const [low, high] = [Math.min(...values) - margin, Math.max(...values) + margin]
    const steps = Math.max(10, batch.length)
    const x = (step) => LEFT + ((WIDTH - LEFT - 6) * step) / steps
    const y = (value) => TOP + ((HEIGHT - BOTTOM - TOP) * (high - value)) / (high - low)
    const line = (className, points) =>
      drawn("polyline", { class: className, points: points.map(([a, b]) => `${x(a)},${y(b)}`).join(" ") })
    const digits = high - low < 0.3 ? 2 : 1
    const ticks = [high - margin, (high + low) / 2, low + margin]
    const every = steps <= 10 ? 2 : steps <= 50 ? 10 : 20
    const marks = [
      ...ticks.map((tick) => drawn("line", { class: "grid", x1: LEFT, x2: WIDTH - 6, y1: y(tick), y2: y(tick) })),
      ...ticks.map((tick) => drawn("text", { x: LEFT - 4, y: y(tick) + 3.5, "text-anchor": "end" }, tick.toFixed(digits))),
      ...Array.from({ length: Math.floor(steps / every) + 1 }, (_, i) =>
        drawn("text", { x: x(i * every), y: HEIGHT - 3, "text-anchor": "middle" }, String(i * every)),
      ),
    ]
    const isLast = (k) => k === batch.length - 1
    batch.forEach((both, k) => {
      const piece = line("batch", both.map((value, i) => [k + i, value]))
      marks.push(isLast(k) ? from(5, piece) : piece)
    })
    heldOut.forEach((value, k) => {
      const dot = drawn("circle", { class: "held-out", cx: x(k), cy: y(value), r: 2.5 })
      const piece = k ? line("held-out", [[k - 1, heldOut[k - 1]], [k, value]]) : null
      for (const one of [piece, dot]) if (one) marks.push(k === batch.length || !k ? from(5, one) : one)
    })
    if (batch.length > 1) delete marks.find((one) => one.matches("circle")).dataset.from
    const svg = find("svg")
    svg.ariaLabel = `Loss on held-out text after 0 to ${heldOut.length - 1} steps: ${heldOut.map(nats).join(", ")}`
    svg.replaceChildren(...marks)
  }

  const others = [data.about, data.number, gray.key].join(" ")
  const isAnother = state.about !== data.about || (data.wanted === 0 && state.wanted > 0)
  if (isAnother) {
    state.stage = data.wanted ? LAST : 1
    clearTimeout(state.timer)
    state.timer = null
  }
  if (state.drawn !== others) {
    const { scrollLeft } = find(".window")
    root.classList.remove("moving", "forward")
    drawWindow()
    drawParts()
    drawResult()
    find(".window").scrollLeft = scrollLeft
  }
  Object.assign(state, { about: data.about, wanted: data.wanted, drawn: others })

  // ---- a step that is being computed

  clearTimeout(state.asking)
  const offered = Math.max(1, data.number) // the number of the step on show
  if (data.number < Math.max(1, data.wanted) && !data.ended) {
    const ask = () => {
      if (!root.isConnected) return
      setTriggerValue("more", true)
      state.asking = setTimeout(ask, ASK_TIME)
    }
    state.asking = setTimeout(ask, ASK_TIME)
  }

  // ---- the stages

  const wanted = () => state.choice.shown
  const want = (number) => {
    state.choice.make(number, root)
    showControls()
  }
  const showControls = () => {
    const { stage } = state
    ;[...find(".stages").children].forEach((button, i) => {
      button.ariaCurrent = String(i + 1 === stage)
    })
    // not `disabled`: such a button keeps the focus and swallows the keys
    find(".back").ariaDisabled = String(stage <= 1)
    find(".next").ariaDisabled = String(stage >= LAST)
    find(".play").textContent = state.timer === null ? "▶ Play" : "❚❚ Pause"
    find(".play").hidden = find(".speed").hidden = isStill()
    const isWaiting = wanted() > data.number && !data.ended
    find(".take").ariaDisabled = String(data.ended || wanted() >= data.most)
    say(find(".take"), wanted() < offered ? "Take this step" : "Take another step")
    root.classList.toggle("waits", isWaiting)
    const count = isWaiting ? `taking step ${wanted()} …` : data.taken === 1 ? "1 step taken" : `${data.taken} steps taken`
    say(find("h4 small"), `(nats per character)${wanted() ? ` · ${count}` : ""}`)
    find(".again").ariaDisabled = String(wanted() === 0 && stage === 1)
    say(find(".sentence"), data.sentences[stage - 1])
  }
  // what appears from the last part on is in view, also where not all parts are
  const passBack = () => {
    const parts = find(".parts")
    parts.scrollTop = parts.scrollHeight
    setTimeout(() => parts.scrollTo({ top: 0, behavior: "smooth" }), REVEAL_TIME / 2 / speed())
  }
  const show = (isMoving) => {
    const { stage } = state
    root.classList.remove("moving", "forward")
    root.style.setProperty("--speed", speed())
    root.style.setProperty("--reveal", `${REVEAL_TIME}ms`)
    if (isMoving && !isStill()) {
      void root.offsetWidth // what was shown before is where the motion begins
      root.classList.add("moving")
      root.classList.toggle("forward", stage === 2)
      if (stage > 3) passBack()
    }
    for (const one of root.querySelectorAll("[data-from]")) one.classList.toggle("on", Number(one.dataset.from) <= stage)
    for (const one of root.querySelectorAll("[data-stages]"))
      one.classList.toggle("now", one.dataset.stages === String(stage))
    showControls()
  }
  const goTo = (stage) => {
    if (stage < 1 || stage > LAST) return
    const isNext = stage === state.stage + 1
    state.stage = stage
    show(isNext)
    if (stage === LAST && wanted() < offered) want(offered) // now it is taken
  }
  const pause = () => {
    clearTimeout(state.timer)
    state.timer = null
    showControls()
  }
  const later = () => {
    state.timer = setTimeout(() => state.tick(), STAGE_TIME / speed())
  }
  state.tick = () => {
    if (!root.isConnected) return pause()
    goTo(state.stage + 1)
    if (state.stage === LAST) pause()
    else later()
  }
  // from the text on: there the targets are first written below the same characters, then shifted by one
  const playFromTheText = () => {
    state.stage = 1
    find(".targets").classList.add("unshifted")
    show(true)
    find(".targets").classList.remove("unshifted")
    later()
  }
  const play = () => {
    if (state.timer !== null) return pause()
    if (isStill()) return
    if (state.stage === 1 || state.stage === LAST) playFromTheText()
    else state.tick()
    showControls()
  }
  const step = (direction) => {
    pause()
    goTo(state.stage + direction)
  }

  if (!find(".stages").childElementCount)
    find(".stages").replaceChildren(
      ...STAGES.map((name, i) => {
        const button = make("button", "", `${i + 1} ${name}`)
        button.type = "button"
        return button
      }),
    )
  ;[...find(".stages").children].forEach((button, i) => {
    button.onclick = () => {
      pause()
      goTo(i + 1)
    }
  })
  find(".back").onclick = () => step(-1)
  find(".next").onclick = () => step(1)
  find(".play").onclick = play
  find(".speed").onchange = () => show(false)
  find(".take").onclick = () => {
    pause()
    if (find(".take").ariaDisabled === "true") return
    if (wanted() < offered) goTo(LAST)
    else want(wanted() + 1)
  }
  find(".again").onclick = () => {
    if (find(".again").ariaDisabled === "true") return
    pause()
    state.stage = 1
    show(false)
    want(0)
  }
  root.onkeydown = (event) => {
    const isChoosing = event.target.matches("select")
    if (event.ctrlKey || event.metaKey || event.altKey || isChoosing) return
    const scrolls = event.target === find(".window") && find(".window").scrollWidth > find(".window").clientWidth
    const direction = { ArrowRight: 1, ArrowLeft: -1 }[event.key]
    if (direction && !scrolls) step(direction)
    else if (event.key === " " && !event.target.matches("button")) play()
    else return
    event.preventDefault()
  }

  // ---- one place

  const describe = (target) => {
    const place = target?.closest?.("[data-place]")?.dataset.place
    if (place === undefined || state.stage < 2 || !numbers)
      return say(find(".note"), "Point at a position to read its numbers.")
    const i = Number(place)
    const [before, after] = numbers.chances.map((each) => inPercent(each[i]))
    const [loss, lossAfter] = numbers.losses.map((each) => nats(each[i]))
    const quoted = (glyph) => `“${isolated(glyph)}”`
    const list = numbers.guesses[i].map(([glyph, chance]) => `${quoted(glyph)} ${inPercent(chance)}`).join(", ")
    const isTaken = state.stage === LAST
    say(
      find(".note"),
      `After ${quoted(data.inputs[i])}: ${list}. Right is ${quoted(data.targets[i])}, ` +
        `${before}${isTaken ? ` → ${after}` : ""}` +
        (state.stage > 2 ? `, loss ${loss}${isTaken ? ` → ${lossAfter}` : ""}` : ""),
    )
  }
  const box = find(".window")
  box.onpointerover = (event) => describe(event.target)
  box.onpointerleave = () => describe(null)

  show(false)
  describe(null)
}
