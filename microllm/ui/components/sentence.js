// A sentence that highlights what the character under the pointer attends to. Hovering, tapping and arrow keys choose the
// character, a click or Enter pins it. `data`: text (one glyph per character), block_size, causal, colors, and shares as
// bytes: the lower triangle, row q from q(q+1)/2 on, or all rows of a model that is not causal.


export default function ({ data, parentElement: root }) {
  const box = root.querySelector(".text")
  const state = (box.state ??= { drawn: null, spans: [], hover: null, focus: null, pinned: null, tab: 0, glow: null })
  const N = data.text.length
  const shares = bytes(data.shares)
  state.glow = glow(box, data.colors)

  const share = (q, k) => (data.causal ? (k > q ? 0 : shares[(q * (q + 1)) / 2 + k]) : shares[q * N + k])
  const first = (q) => Math.max(0, q - data.block_size + 1)
  const last = (q) => (data.causal ? q : Math.max(q, Math.min(data.block_size, N) - 1))
  const shown = () => state.pinned ?? state.hover ?? state.focus ?? N - 1
  const named = (k) => `“${isolated(alone(data.text[k]))}” (${k + 1})`

  const words = (q) => {
    if (first(q) === last(q)) return `${named(q)} sees nothing else, so it attends to itself.`
    const keys = Array.from({ length: last(q) - first(q) + 1 }, (_, i) => first(q) + i)
    keys.sort((a, b) => share(q, b) - share(q, a) || b - a)
    const found = keys.slice(0, 3).filter((k, i) => i === 0 || share(q, k) > 1) // of 255: 0.5 % or more
    const targets = found.map((k) => `${k === q ? "itself" : named(k)}: ${percent(share(q, k))}`)
    return `${named(q)} attends most to ${targets.join(", ")}.`
  }

  const paint = () => {
    const q = shown()
    const { css, ink } = state.glow
    const [from, to] = [first(q), last(q)]
    state.spans.forEach((span, k) => {
      const at = share(q, k)
      const isVisible = k >= from && k <= to
      span.className = (isVisible ? "" : "unseen") + (k === q ? " looking" : "") + (k === state.pinned ? " pinned" : "")
      span.style.backgroundColor = isVisible ? css[at] : ""
      span.style.color = isVisible ? ink[at] : ""
    })
    root.querySelector(".words").textContent = words(q)
    root.querySelector(".hint").textContent =
      state.pinned === null
        ? "Point at a character, tap it, or use the arrow keys. Click or press Enter to pin it."
        : "Pinned. Click again or press Escape to unpin."
  }

  // for screen readers: only what the user did, not each tick of the training
  const say = () => {
    root.querySelector(".status").textContent = (state.pinned === null ? "" : "Pinned. ") + words(shown())
  }

  const pin = (k) => {
    state.pinned = state.pinned === k ? null : k
    state.spans.forEach((span, i) => span.setAttribute("aria-selected", String(i === state.pinned)))
    paint()
    say()
  }

  const reach = (k) => {
    state.spans[state.tab].tabIndex = -1
    state.tab = k
    state.spans[k].tabIndex = 0
    state.spans[k].focus()
  }

  if (data.text.join("\u0000") !== state.drawn) {
    state.drawn = data.text.join("\u0000")
    Object.assign(state, { hover: null, focus: null, pinned: null, tab: N - 1 })
    state.spans = spansIn(box, data.text, N - 1, (glyph, k) => `${spoken(glyph)}, ${k + 1} of ${N}`)
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
    const k = under(event, state.spans, root)
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
    if (k >= 0) pin(k)
  }
  box.onkeydown = (event) => {
    const k = state.spans.indexOf(root.activeElement)
    if (k < 0) return
    if (event.key === "Enter" || event.key === " ") pin(k)
    else if (event.key === "Escape" && state.pinned !== null) pin(state.pinned)
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
      if (!span.matches(":focus-visible")) return // a click pins; only keys move
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
