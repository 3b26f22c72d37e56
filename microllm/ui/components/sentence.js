// A sentence; what the character under the pointer looks at glows. Hovering, tapping and arrow keys choose the character,
// a click or Enter holds it. `data`: text (a glyph a character), block_size, causal, colors, and shares as bytes: the
// lower triangle, row q from q(q+1)/2, or all rows of a model that looks ahead.

const NAMES = { "␠": "space", "⏎": "line end", "⇥": "tab" }

export default function ({ data, parentElement: root }) {
  const box = root.querySelector(".text")
  const state = (box.state ??= { drawn: null, spans: [], hover: null, focus: null, held: null, tab: 0, glow: null })
  const N = data.text.length
  const shares = bytes(data.shares)
  state.glow = glow(box, data.colors)

  const share = (q, k) => (data.causal ? (k > q ? 0 : shares[(q * (q + 1)) / 2 + k]) : shares[q * N + k])
  const first = (q) => Math.max(0, q - data.block_size + 1)
  const last = (q) => (data.causal ? q : Math.max(q, Math.min(data.block_size, N) - 1))
  const shown = () => state.held ?? state.hover ?? state.focus ?? N - 1
  const named = (k) => `“${isolated(alone(data.text[k]))}” at ${k + 1}`

  const words = (q) => {
    if (first(q) === last(q)) return `The ${named(q)} has nothing else in sight: it looks at itself.`
    const keys = Array.from({ length: last(q) - first(q) + 1 }, (_, i) => first(q) + i)
    keys.sort((a, b) => share(q, b) - share(q, a) || b - a)
    const found = keys.slice(0, 3).filter((k, i) => i === 0 || percent(share(q, k)) !== percent(0))
    const told = found.map((k) => `${k === q ? "itself" : named(k)}: ${percent(share(q, k))}`)
    return `The ${named(q)} looks most at ${told.join(", ")}.`
  }

  const paint = () => {
    const q = shown()
    const { css, ink } = state.glow
    const [from, to] = [first(q), last(q)]
    state.spans.forEach((span, k) => {
      const at = share(q, k)
      const isSeen = k >= from && k <= to
      span.className = (isSeen ? "" : "unseen") + (k === q ? " looking" : "") + (k === state.held ? " held" : "")
      span.style.backgroundColor = isSeen ? css[at] : ""
      span.style.color = isSeen ? ink[at] : ""
    })
    root.querySelector(".words").textContent = words(q)
    root.querySelector(".hint").textContent =
      state.held === null
        ? "Point at a character, or move with the arrow keys. A click or Enter holds it."
        : "Held. Click it again or press Escape to let it go."
  }

  // read out only what the person did, not each tick of the training
  const say = () => {
    root.querySelector(".said").textContent = (state.held === null ? "" : "Held. ") + words(shown())
  }

  const hold = (k) => {
    state.held = state.held === k ? null : k
    state.spans.forEach((span, i) => span.setAttribute("aria-selected", String(i === state.held)))
    paint()
    say()
  }

  const reach = (k) => {
    state.spans[state.tab].tabIndex = -1
    state.tab = k
    state.spans[k].tabIndex = 0
    state.spans[k].focus()
  }

  const under = (event) => {
    // a finger that moves stays with the character where it began, as far as the browser says
    const element = event.pointerType === "mouse" ? event.target : root.elementFromPoint(event.clientX, event.clientY)
    const k = state.spans.indexOf(element)
    return k < 0 ? null : k
  }

  if (data.text.join("\u0000") !== state.drawn) {
    state.drawn = data.text.join("\u0000")
    Object.assign(state, { hover: null, focus: null, held: null, tab: N - 1 })
    state.spans = data.text.map((glyph, k) => {
      const span = document.createElement("span")
      span.textContent = glyph
      if (Array.from(glyph).length > 1) span.style.unicodeBidi = "isolate" // the name of one that cannot be seen
      span.tabIndex = k === N - 1 ? 0 : -1
      span.setAttribute("role", "option")
      span.setAttribute("aria-selected", "false")
      span.setAttribute("aria-label", `${NAMES[glyph] ?? alone(glyph)}, ${k + 1} of ${N}`)
      return span
    })
    // a line may end after a space and a line end, though what is shown there is none
    box.replaceChildren(
      ...state.spans.flatMap((span) => ("␠⏎".includes(span.textContent) ? [span, document.createElement("wbr")] : [span])),
    )
  }

  if (root.querySelector(".legend").dataset.theme !== state.glow.key) {
    const legend = root.querySelector(".legend")
    legend.dataset.theme = state.glow.key
    legend.querySelectorAll("b").forEach((swatch) => swatch.remove())
    for (const part of [0.01, 0.1, 0.25, 0.5, 1]) {
      const swatch = document.createElement("b")
      const at = Math.round(255 * part)
      swatch.textContent = percent(at)
      swatch.style.backgroundColor = state.glow.css[at]
      swatch.style.color = state.glow.ink[at]
      legend.append(swatch)
    }
  }

  box.onpointermove = box.onpointerdown = (event) => {
    const k = under(event)
    if (k === null || k === state.hover) return
    state.hover = k
    paint()
  }
  box.onpointerleave = () => {
    state.hover = null
    paint()
  }
  box.onclick = (event) => {
    const k = state.spans.indexOf(event.target)
    if (k >= 0) hold(k)
  }
  box.onkeydown = (event) => {
    const k = state.spans.indexOf(root.activeElement)
    if (k < 0) return
    if (event.key === "Enter" || event.key === " ") hold(k)
    else if (event.key === "Escape" && state.held !== null) hold(state.held)
    else {
      const to = walk(state.spans, k, event.key)
      if (to === undefined) return
      state.hover = null
      reach(to)
    }
    event.preventDefault()
  }
  state.spans.forEach((span, k) => {
    span.onfocus = () => {
      if (!span.matches(":focus-visible")) return // a click holds; only keys move
      state.focus = k
      paint()
      say()
    }
    span.onblur = () => {
      state.focus = null
      paint()
    }
  })
  paint()
}
