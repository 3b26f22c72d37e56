// One guess is one key or one tap. Everything shown comes in `data`, as text:
// turn: its number; before, sight: the passage, first what the model cannot see; spoken: the passage for a screen reader;
// options: [{character, shown, name}]; notice: why the last guess did not count; refused: how many did not;
// last: null or {tail, truth, spoken, yours, bet}; score; over.

const PATIENCE = 3000 // milliseconds after which a guess that was not answered may be made again

// Words may part after a blank, and a line end really ends a line.
const write = (parent, text) => {
  for (const character of text) {
    const sign = document.createElement("span")
    sign.textContent = character === "␠" ? "\u00a0" : character // the style draws a blank's sign, lower than a letter
    if (character === "␠") sign.className = "sign space"
    if (character === "⏎") sign.className = "sign"
    parent.append(sign)
    if (character === "␠") parent.append(document.createElement("wbr"))
    if (character === "⏎") parent.append("\n")
  }
}

const piece = (parent, kind, text) => {
  const part = document.createElement("span")
  part.className = kind
  write(part, text)
  parent.append(part)
  return part
}

export default function ({ data, parentElement: root, setTriggerValue }) {
  const find = (css) => root.querySelector(css)
  const box = find(".guess")
  const state = (box.state ??= { sent: -1, when: 0, refused: 0, options: "", passage: "", last: "" })
  if (state.sent !== data.turn || state.refused !== data.refused) state.sent = -1
  state.refused = data.refused

  const make = (character, shown) => {
    if (data.over || (state.sent === data.turn && Date.now() - state.when < PATIENCE)) return
    state.sent = data.turn
    state.when = Date.now()
    const blank = find(".blank")
    blank.replaceChildren()
    write(blank, shown)
    setTriggerValue("made", { turn: data.turn, character })
  }

  const field = find("input")
  field.disabled = data.over
  field.oninput = (event) => {
    if (event.isComposing) return
    const typed = [...field.value].pop()
    field.value = ""
    if (typed) make(typed, typed === " " ? "␠" : typed)
  }
  field.oncompositionend = () => field.oninput({ isComposing: false })
  field.onkeydown = (event) => {
    if (event.key === "Enter" && !event.isComposing) {
      event.preventDefault()
      make("\n", "⏎")
    }
  }

  const options = JSON.stringify(data.options)
  if (state.options !== options) {
    state.options = options
    find(".options").replaceChildren(
      ...data.options.map(({ character, shown, name }) => {
        const button = document.createElement("button")
        button.type = "button"
        write(button, shown)
        button.setAttribute("aria-label", name)
        return button
      }),
    )
  }
  find(".options").querySelectorAll("button").forEach((button, i) => {
    button.disabled = data.over
    button.onclick = () => make(data.options[i].character, data.options[i].shown)
  })

  const passage = find(".passage")
  const key = JSON.stringify([data.turn, data.before, data.sight, data.over])
  if (state.passage !== key) {
    state.passage = key
    passage.replaceChildren()
    passage.setAttribute("aria-label", data.spoken)
    piece(passage, "before", data.before)
    piece(passage, "sight", data.sight)
    if (!data.over) piece(passage, "blank", "?")
  } else if (state.sent === -1 && !data.over) {
    find(".blank").textContent = "?"
  }

  find(".notice").textContent = data.notice
  const last = JSON.stringify(data.last)
  if (state.last !== last) {
    state.last = last
    const answer = find(".answer")
    answer.replaceChildren()
    if (data.last) {
      answer.setAttribute("aria-label", data.last.spoken)
      piece(answer, "tail", data.last.tail)
      piece(answer, "truth", data.last.truth)
    }
    find(".yours").textContent = data.last ? data.last.yours : ""
    find(".bet").textContent = data.last ? data.last.bet : ""
  }
  find(".score").textContent = data.score
}
