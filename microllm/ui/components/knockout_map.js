// The parts of a model, one row per layer: its heads, then its feed-forward network. A click, or arrow keys and Enter,
// knock a part out or restore it. `data`: heads, parts ("1.1", "1.2", "1.ff", ...), names, out (the parts that are knocked
// out, separated by spaces), silent (for each part: whether it is silent in this run, so that there is nothing to knock
// out), changes of the loss and their errors (null where they are not known yet), colors of more and less surprisal.

const signed = (nats) => `${nats < 0 ? "−" : "+"}${Math.abs(nats).toFixed(3)}`

export default function ({ data, parentElement: root, setTriggerValue }) {
  const grid = root.querySelector(".grid")
  const note = root.querySelector(".note")
  const state = (grid.state ??= { drawn: "", cells: [], at: 0, hover: null })
  const columns = data.heads + 1

  const shape = data.parts.join(" ")
  if (shape !== state.drawn) {
    Object.assign(state, { drawn: shape, choice: new Choice(), at: 0, hover: null })
    const label = (words, row, column) => {
      const element = document.createElement("i")
      element.textContent = words
      element.ariaHidden = "true"
      element.style.gridArea = `${row} / ${column}`
      return element
    }
    state.cells = data.parts.map((part, i) => {
      const cell = document.createElement("button")
      cell.type = "button"
      cell.style.gridArea = `${Math.floor(i / columns) + 2} / ${(i % columns) + 2}`
      cell.append(document.createElement("span"))
      return cell
    })
    grid.style.setProperty("--columns", columns)
    grid.replaceChildren(
      ...Array.from({ length: data.heads }, (_, i) => label(i ? String(i + 1) : "head 1", 1, i + 2)),
      label("ff", 1, columns + 1),
      ...Array.from({ length: data.parts.length / columns }, (_, i) => label(i ? String(i + 1) : "layer 1", i + 2, 1)),
      ...state.cells,
    )
  }
  state.choice.update(data.out, (out) => setTriggerValue("picked", out))

  const [worse, better] = [glow(grid, data.colors.more), glow(grid, data.colors.less)]
  const largest = Math.max(1e-9, ...data.changes.map((change) => Math.abs(change ?? 0)))
  const outNow = () => new Set(state.choice.shown.split(" ").filter(Boolean))

  const words = (i) => {
    const [change, error] = [data.changes[i], data.errors[i]]
    if (data.silent[i]) return `${data.names[i]}: silent in this run.`
    const noise = error ? ` ± ${error.toFixed(3)}` : ""
    const effect = change === null ? "" : `: ${signed(change)}${noise} nats per character without it`
    return `${data.names[i]}${effect}${outNow().has(data.parts[i]) ? " (knocked out)" : ""}.`
  }

  const mark = () => {
    const out = outNow()
    state.cells.forEach((cell, i) => {
      const change = data.changes[i]
      const { css, ink } = (change ?? 0) < 0 ? better : worse
      const shade = change === null ? 0 : Math.round((255 * Math.abs(change)) / largest) // the table has the square root
      cell.style.setProperty("--ground", css[shade])
      cell.style.setProperty("--ink", ink[shade])
      cell.firstChild.textContent = data.silent[i] ? "off" : change === null ? "" : signed(change)
      cell.setAttribute("aria-pressed", String(out.has(data.parts[i]) || data.silent[i]))
      cell.setAttribute("aria-disabled", String(data.silent[i]))
      cell.setAttribute("aria-label", words(i))
      cell.tabIndex = i === state.at ? 0 : -1
    })
    note.textContent = state.hover === null ? "Point at a part, or move with the arrow keys." : words(state.hover)
    const legend = root.querySelector(".legend")
    legend.hidden = data.changes.every((change) => change === null)
    legend.textContent = `Strongest color: ${largest.toFixed(3)} nats.`
  }

  const toggle = (i) => {
    if (data.silent[i]) return
    const out = outNow()
    if (!out.delete(data.parts[i])) out.add(data.parts[i])
    state.choice.make(data.parts.filter((part) => out.has(part)).join(" "), grid)
    mark()
  }

  const cellOf = (event) => state.cells.indexOf(event.target.closest("button"))
  const point = (i) => {
    state.hover = i < 0 ? null : i
    mark()
  }
  grid.onpointerover = (event) => point(cellOf(event))
  grid.onpointerleave = () => point(state.cells.indexOf(root.activeElement))
  grid.onclick = (event) => {
    const i = cellOf(event)
    if (i < 0) return
    Object.assign(state, { at: i, hover: i })
    toggle(i)
  }
  grid.onkeydown = (event) => {
    const i = cellOf(event)
    if (i < 0) return
    const cell = walkGrid([Math.floor(i / columns), i % columns], [state.cells.length / columns, columns], event.key)
    if (!cell) return // Enter and the space bar click
    event.preventDefault()
    state.at = cell[0] * columns + cell[1]
    point(state.at)
    state.cells[state.at].focus()
  }
  grid.onfocusin = (event) => point(cellOf(event))
  grid.onfocusout = () => point(-1)
  mark()
}
