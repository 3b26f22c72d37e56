// What a knock-out changes, or how two other models differ. `data`: after (the text before the next character), without (the
// name of what is out; empty for one model), names and legend (what both are called), of (what the passage is), rows of
// [character, probability before, after], samples {same, ends: [[first other character, rest], ...]} or null, passage
// {text (one glyph per character), before, after (surprisals in hundredths of a nat, -1 for none)} or null, waiting (why
// there are no samples yet), full (the change in nats of the strongest tint), colors of less and more surprisal.

const TICKS = [-1, -0.3, -0.05, 0.05, 0.3, 1] // of the legend, as shares of the strongest tint

const signed = (nats) => `${nats < 0 ? "−" : "+"}${Math.abs(nats).toFixed(2)}`

export default function ({ data, parentElement: root }) {
  const view = root.querySelector(".effect")
  const state = (view.state ??= { bars: [], drawn: null, spans: [], tab: 0, hover: null, focus: null, tapped: null })
  const find = (one) => root.querySelector(one)
  const set = (element, text) => {
    if (element.textContent !== text) element.textContent = text
  }
  view.classList.toggle("whole", !data.without)
  const colors = [glow(view, data.colors.less), glow(view, data.colors.more)]

  // ---- the next character

  root.querySelectorAll(".key span").forEach((name, i) => set(name, data.legend[i]))
  set(find(".next h4"), `Next character after “${isolated(data.after)}”`)
  while (state.bars.length < data.rows.length) {
    const bar = barRow("li", ["before", "after"])
    find(".bars").append(bar.row)
    state.bars.push(bar)
  }
  state.bars.forEach((bar, i) => {
    bar.row.hidden = i >= data.rows.length
    if (bar.row.hidden) return
    const [character, p, q] = data.rows[i]
    set(bar.character, character)
    set(bar.share, data.without ? `${inPercent(p)} → ${inPercent(q)}` : inPercent(p))
    const change = data.without ? `, ${data.names[1]}: ${inPercent(q)}` : ""
    bar.row.setAttribute("aria-label", `${spoken(character)}: ${inPercent(p)}${change}`)
    bar.bars[0].style.width = `${100 * p}%`
    bar.bars[1].style.width = `${100 * q}%`
  })

  // ---- two samples

  set(find(".samples h4"), data.samples ? data.without ? "What it writes next, from the same seed" : "What it writes next" : data.waiting)
  root.querySelectorAll(".samples figure").forEach((figure, i) => {
    figure.classList.toggle("waits", !data.samples)
    if (!data.samples) return
    const { same, ends } = data.samples
    const ending = i && !ends[0][0] && !ends[1][0] ? ": the same text" : ""
    set(figure.querySelector("figcaption"), i ? `${data.names[1]}${ending}` : data.names[0])
    const code = figure.querySelector("code")
    const shown = JSON.stringify([same, ends[i]])
    if (code.shown === shown) return
    code.shown = shown
    const common = document.createElement("span")
    common.textContent = same
    const mark = document.createElement("mark")
    mark.textContent = ends[i][0]
    code.replaceChildren(common, ...(ends[i][0] ? [mark] : []), `${ends[i][0] === "⏎" ? "\n" : ""}${ends[i][1]}`)
  })

  // ---- the passage

  const { passage } = data
  const isWaiting = !data.samples && state.drawn !== null // then the last one stays, pale, so that nothing jumps
  find(".passage").hidden = !passage && !isWaiting
  find(".passage").classList.toggle("waits", isWaiting)
  if (!passage) return
  const box = find(".passage .text")
  set(find(".passage h4"), `${data.of}, tinted by the change in surprisal`)
  const nats = (values, i) => values[i] / 100
  const difference = (i) => (passage.before[i] < 0 ? 0 : nats(passage.after, i) - nats(passage.before, i))
  const named = (i) => `“${isolated(alone(passage.text[i]))}”`

  const words = (i) => {
    if (i === null) return "Point at a character, tap it, or use the arrow keys."
    if (passage.before[i] < 0) return `${named(i)} begins the passage, so nothing predicts it.`
    const before = passage.text.slice(Math.max(0, i - 12), i).join("")
    const [p, q] = [passage.before, passage.after].map((values) => inPercent(Math.exp(-nats(values, i))))
    const [a, b] = [passage.before, passage.after].map((values) => nats(values, i).toFixed(2))
    return `${named(i)} after “${isolated(before)}”: probability ${p} → ${q}, surprisal ${a} → ${b} nats (${signed(difference(i))})`
  }
  const describe = () => set(find(".note"), words(state.hover ?? state.focus ?? state.tapped))

  const text = passage.text.join("\u0000")
  if (text !== state.drawn) {
    Object.assign(state, { drawn: text, tab: 0, hover: null, focus: null, tapped: null })
    state.spans = spansIn(box, passage.text, 0, spoken)
  }
  const shade = (change) => Math.round(255 * Math.min(1, Math.abs(change) / data.full))
  state.spans.forEach((span, i) => {
    const { css, ink } = colors[Number(difference(i) > 0)]
    span.style.backgroundColor = css[shade(difference(i))]
    span.style.color = ink[shade(difference(i))]
  })

  const scale = find(".scale")
  if (scale.dataset.theme !== colors[0].key) {
    scale.dataset.theme = colors[0].key
    const swatches = TICKS.map((tick) => {
      const { css, ink } = colors[Number(tick > 0)]
      const swatch = document.createElement("b")
      swatch.textContent = `${signed(tick * data.full)}`
      swatch.style.backgroundColor = css[shade(tick * data.full)]
      swatch.style.color = ink[shade(tick * data.full)]
      return swatch
    })
    scale.replaceChildren("less surprising", ...swatches, "more surprising (nats)")
  }

  box.onpointermove = box.onpointerdown = (event) => {
    state.hover = under(event, state.spans, root)
    describe()
  }
  box.onclick = (event) => {
    state.tapped = under(event, state.spans, root)
    describe()
  }
  box.onpointerleave = () => {
    state.hover = null
    describe()
  }
  box.onkeydown = (event) => {
    const i = state.spans.indexOf(root.activeElement)
    const to = i < 0 ? undefined : walk(state.spans, i, event.key)
    if (to === undefined) return
    event.preventDefault()
    state.hover = null
    state.spans[state.tab].tabIndex = -1
    state.tab = to
    state.spans[to].tabIndex = 0
    state.spans[to].focus()
  }
  box.onfocusin = (event) => {
    const i = state.spans.indexOf(event.target)
    if (i < 0 || !event.target.matches(":focus-visible")) return
    state.focus = i
    describe()
    set(find(".status"), words(i))
  }
  box.onfocusout = () => {
    state.focus = null
    describe()
  }
  describe()
}
