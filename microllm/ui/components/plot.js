// What the plots over training steps have in common.

const count = (value) => Math.round(value).toLocaleString("en")
const short = (value) => (value >= 1000 ? `${Number((value / 1000).toPrecision(3))}k` : String(Number(value.toPrecision(3))))

// Show rows of [name, value] beside `x`: to the right of it, or to the left where it would leave the plot.
function showTip(tip, rows, x, right) {
  tip.replaceChildren(
    ...rows.map((row) => {
      const line = document.createElement("div")
      line.append(...row.filter(Boolean).map((text) => Object.assign(document.createElement("span"), { textContent: text })))
      return line
    }),
  )
  tip.hidden = false
  const wide = tip.offsetWidth
  tip.style.left = `${x + 12 + wide > right ? Math.max(0, x - 12 - wide) : x + 12}px`
}
