// Why a character stands where it does: counts, places in the training text, attention, layers, and the copied piece.
// `why`: title, summary, colors, and the parts, each null if it is not known: counts, places, attention, layers, piece.

function drawWhy(box, why, chance) {
  const { key, css, ink } = glow(box, why.colors)
  const now = JSON.stringify(why) + key
  if (box.drawn === now) return // most ticks change nothing
  box.drawn = now

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

  const chanceCell = (share, isOwn) => {
    const one = cell(chance(share), isOwn ? "chance own" : "chance")
    one.style.setProperty("--share", `${100 * share}%`)
    return one
  }

  const counts = ({ note: words, character, rows }) => {
    const titles = ["n", "context", "seen", `then ${character}`, "chance", "most often"]
    const lines = rows.map((row) => {
      const line = make("tr", row.is_own ? "own" : "", head(row.n, "row"))
      if (row.seen === undefined) {
        const context = cell(row.context)
        context.colSpan = 3
        line.append(context, chanceCell(row.chance, true), cell(""))
        return line
      }
      const best = make("td", "best")
      for (const [glyph, hits] of row.best) {
        const one = make("b", "", glyph)
        one.title = `${glyph}: ${hits}`
        best.append(one)
      }
      best.setAttribute("aria-label", row.best.map(([glyph, hits]) => `${glyph} ${hits}`).join(", ") || "nothing")
      line.append(
        cell(row.context || "none", row.context ? "context" : ""),
        cell(row.seen, "number"),
        cell(row.hits, "number"),
        chanceCell(row.chance, row.is_own),
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
      row("would write", rows.map(([glyph]) => cell(glyph, "context"))),
      row("its chance", rows.map(([, best]) => cell(chance(best)))),
      row(`chance of ${character}`, rows.map(([, , ours]) => cell(chance(ours)))),
    )
    return [note(words), make("div", "scroll", table)]
  }

  const piece = ({ note: words, text }) => (text ? [note(words), make("code", "piece", text)] : [note(words)])

  const parts = { counts, places, attention, layers, piece }
  const drawn = Object.keys(parts).filter((name) => why[name]).map((name) => make("section", "", ...parts[name](why[name])))
  const { scrollTop } = box
  box.replaceChildren(...drawn)
  box.scrollTop = scrollTop
}
