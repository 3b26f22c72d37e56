// Characters in a sentence or alone, and moving between them with arrow keys, in either direction of writing.

const NAMES = { "␠": "space", "⏎": "line end", "⇥": "tab" }
const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u

// Text within a sentence: isolates right-to-left letters, so that they do not reorder the rest.
const isolated = (text) => (RIGHT_TO_LEFT.test(text) ? `\u2068${text}\u2069` : text)

// A combining mark is shown on a circle.
const alone = (letter) => (/^[\p{Mn}\p{Me}]/u.test(letter) ? `◌${letter}` : letter)

const spoken = (glyph) => NAMES[glyph] ?? alone(glyph)

// Spans for the characters of a text, of which number `tab` is reached with the tab key.
function spansIn(box, glyphs, tab, label) {
  const spans = glyphs.map((glyph, i) => {
    const span = document.createElement("span")
    span.textContent = glyph
    if (Array.from(glyph).length > 1) span.style.unicodeBidi = "isolate" // the name of an invisible character
    span.tabIndex = i === tab ? 0 : -1
    span.setAttribute("role", "option")
    span.setAttribute("aria-selected", "false")
    span.setAttribute("aria-label", label(glyph, i))
    return span
  })
  // a line may break after the signs for a space and a line end
  box.replaceChildren(...spans.flatMap((span) => ("␠⏎".includes(span.textContent) ? [span, document.createElement("wbr")] : [span])))
  return spans
}

// The number of the span under the pointer; null for none. While a finger moves, events report the span where it began.
function under(event, spans, root) {
  const element = event.pointerType === "mouse" ? event.target : root.elementFromPoint(event.clientX, event.clientY)
  const i = spans.indexOf(element)
  return i < 0 ? null : i
}

// The number of the span to which a key moves from number `at`; undefined for other keys. Left and right are visual: in
// a right-to-left line, the next letter is on the left.
function walk(spans, at, key) {
  const last = spans.length - 1
  const left = (i) => spans[i].offsetLeft
  const isBeside = (i, j) => Math.abs(spans[i].offsetTop - spans[j].offsetTop) < 6

  const lineOf = (i) => {
    let [from, to] = [i, i]
    while (from > 0 && isBeside(from - 1, i)) from--
    while (to < last && isBeside(to + 1, i)) to++
    const runsLeft =
      left(from) === left(to) ? getComputedStyle(spans[i].parentElement).direction === "rtl" : left(from) > left(to)
    const letters = Array.from({ length: to - from + 1 }, (_, n) => from + n)
    // the sort is stable: letters at the same position, such as a letter and its mark, keep their order
    if (runsLeft) letters.reverse()
    letters.sort((a, b) => left(a) - left(b))
    return { from, to, runsLeft, letters }
  }

  const across = (step) => {
    const { runsLeft, letters, from, to } = lineOf(at)
    const next = letters[letters.indexOf(at) + step]
    if (next !== undefined) return next
    const goesOn = (step > 0) !== runsLeft
    const there = goesOn ? to + 1 : from - 1
    if (there < 0 || there > last) return at
    const line = lineOf(there)
    return line.letters.at(goesOn === line.runsLeft ? -1 : 0)
  }

  const along = (step) => {
    const { from, to } = lineOf(at)
    const there = step > 0 ? to + 1 : from - 1
    if (there < 0 || there > last) return at
    const distance = (i) => Math.abs(left(i) - left(at))
    return lineOf(there).letters.reduce((best, i) => (distance(i) < distance(best) ? i : best))
  }

  return {
    ArrowLeft: () => across(-1),
    ArrowRight: () => across(1),
    ArrowUp: () => along(-1),
    ArrowDown: () => along(1),
    Home: () => 0,
    End: () => last,
  }[key]?.()
}

// The cell [row, column] of a grid to which a key moves; undefined for other keys. At an edge it stays.
function walkGrid([row, column], [rows, columns], key) {
  const step = {
    ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], Home: [0, -columns], End: [0, columns],
  }[key]
  const inside = (at, size) => Math.min(Math.max(at, 0), size - 1)
  return step && [inside(row + step[0], rows), inside(column + step[1], columns)]
}
