// Why a character stands where it does: counts, places in the training text, attention, layers, and the copied piece.
// `why`: title, summary, colors, and the parts, each null if it is not known: counts, places and piece, for the box of the
// text, attention and layers, for the box of the model.

function drawWhy(textBox, modelBox, why) {
  const { key, css, ink } = glow(textBox, why.colors)
  const now = JSON.stringify(why) + key
  if (textBox.drawn === now) return // most ticks change nothing
  textBox.drawn = now

  const make = (tag, className, ...inside) => {
    const one = document.createElement(tag)
    if (className) one.className = className
    one.append(...inside)
    return one
  }
  const cell = (words, className = "") => make("td", className, words)
  const head = (words, scope, className = "") => {
    const one = make("th", className, words)
    one.scope = scope
    return one
  }
  const note = (words) => make("p", "", words)

  const chanceCell = (share) => {
    const one = cell(inPercent(share), "chance")
    one.style.setProperty("--share", `${100 * share}%`)
    return one
  }

  const counts = ({ note: words, character, rows }) => {
    const titles = ["n", "context", "seen", `then ${character}`, "chance", "most often"]
    const lines = rows.map((row) => {
      const line = make("tr", row.is_predictor ? "predictor" : "", head(row.n, "row"))
      if (row.seen === undefined) {
        const context = cell(row.context)
        context.colSpan = 3
        line.append(context, chanceCell(row.chance), cell(""))
        return line
      }
      const best = make("td", "best")
      for (const [glyph, hits] of row.best) {
        const one = make("b", "", glyph)
        one.title = `${glyph}: ${hits}`
        best.append(one)
      }
      if (!row.best.length) best.append("–")
      best.setAttribute("aria-label", row.best.map(([glyph, hits]) => `${glyph} ${hits}`).join(", ") || "nothing")
      line.append(
        cell(row.context || "none", row.context ? "context" : ""),
        cell(row.seen, "number"),
        cell(row.hits, "number"),
        chanceCell(row.chance),
        best,
      )
      return line
    })
    const heading = make("tr", "", ...titles.map((title) => head(title, "col")))
    return [make("table", "counts", make("thead", "", heading), make("tbody", "", ...lines)), note(words)]
  }

  const places = ({ note: words, lines }) => {
    const list = make("ul", "places")
    for (const { before, context, next, is_same: isSame, after } of lines) {
      list.append(make("li", "", before, make("mark", "", context), make("b", isSame ? "same" : "", next), after))
    }
    return lines.length ? [note(words), list] : [note(words)]
  }

  const attention = ({ note: words, label, text, shares }) => {
    const weights = bytes(shares)
    const lit = make("div", "lit")
    lit.setAttribute("role", "img")
    lit.setAttribute("aria-label", label)
    text.forEach((glyph, i) => {
      const one = make("span", "", glyph)
      one.style.backgroundColor = css[weights[i]]
      one.style.color = ink[weights[i]]
      one.title = percent(weights[i])
      lit.append(one)
    })
    return [note(words), lit]
  }

  const layers = ({ note: words, character, rows }) => {
    const row = (title, cells) => make("tr", "", head(title, "row"), ...cells)
    const table = make(
      "table",
      "layers",
      row("layer", rows.map((_, i) => head(String(i + 1), "col"))),
      row("would write", rows.map(([glyph, best]) => make("td", "", make("b", "context", glyph), inPercent(best)))),
      row(`probability of ${character}`, rows.map(([, , ours]) => cell(inPercent(ours)))),
    )
    return [note(words), make("div", "scroll", table)]
  }

  const piece = ({ note: words, text }) => (text ? [note(words), make("mark", "piece", text)] : [note(words)])

  const show = (box, parts) => {
    const known = Object.keys(parts).filter((name) => why[name])
    box.replaceChildren(...known.map((name) => make("div", "", ...parts[name](why[name]))))
  }
  show(textBox, { counts, places, piece })
  show(modelBox, { attention, layers })
}
