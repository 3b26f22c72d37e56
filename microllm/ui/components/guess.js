// A guess is one letter or one tap. Everything shown comes in `data`, as text:
// turn: its number; before, sight: the passage, one glyph per character: what the model cannot see, then what it can;
// spoken: the passage for a screen reader; options: [{character, shown, name}]; notice: why the last guess did not count;
// refused: how many did not count; last: null or {tail, truth, spoken, yours, bet}; score; over; kept: the games, for the browser to keep over a reload.

const RESEND = 3000 // milliseconds after which a guess without an answer is sent once more
const COMPOSED = /\p{sc=Han}|\p{sc=Hangul}|\p{sc=Hiragana}|\p{sc=Katakana}/u

// A line may break after a space, and does break at a line end. Plain letters stay in one node, because they may join.
const write = (parent, glyphs) => {
  let plain = ""
  const end = () => {
    if (plain) parent.append(plain)
    plain = ""
  }
  for (const glyph of glyphs) {
    if (glyph !== "␠" && glyph !== "⏎" && Array.from(glyph).length === 1) {
      plain += glyph
      continue
    }
    end()
    const sign = document.createElement("span")
    sign.textContent = glyph === "␠" ? "\u00a0" : glyph // the style draws the sign of a space, lower than a letter
    sign.className = glyph === "␠" ? "sign space" : "sign"
    parent.append(sign)
    if (glyph === "␠") parent.append(document.createElement("wbr"))
    if (glyph === "⏎") parent.append("\n")
  }
  end()
}

const piece = (parent, kind, glyphs) => {
  const part = document.createElement("span")
  part.className = kind
  write(part, glyphs)
  parent.append(part)
  return part
}

// A click with a mouse lets the keys go on to the field; a tap must not, or the keyboard of a phone would cover the game.
const hasMouse = () => matchMedia("(pointer: fine)").matches

export default function ({ data, parentElement: root, setTriggerValue }) {
  const find = (css) => root.querySelector(css)
  const box = find(".guess")
  const field = find("input")
  const state = (box.state ??= { waiting: [], sent: null, data: null, timer: null, options: "", passage: "", last: "" })
  const isNew = state.data === null
  const isOtherTurn = state.data?.turn !== data.turn
  const isAnswered = state.sent !== null && (state.sent !== data.turn || state.data.refused !== data.refused)
  if (data.over || (state.data && data.turn < state.data.turn)) state.waiting = []
  else if (isAnswered) state.waiting.shift()
  if (isAnswered) state.sent = null
  state.data = data
  keep(GAMES, data.kept)

  // What is typed before the answer comes waits for it. The server knows a guess by its turn, and takes it once.
  state.send = () => {
    clearTimeout(state.timer)
    const [guess] = state.waiting
    if (!guess || !field.isConnected) return
    state.sent = state.data.turn
    const blank = find(".blank")
    blank.replaceChildren()
    write(blank, [guess.shown])
    setTriggerValue("made", { turn: state.sent, character: guess.character })
    state.timer = setTimeout(state.send, RESEND)
  }
  state.make = (character, shown) => {
    if (state.data.over) return
    state.waiting.push({ character, shown })
    if (state.sent === null) state.send()
  }

  field.disabled = data.over
  if (isNew) {
    listen(
      field,
      (letter) => state.make(letter, { "\n": "⏎", " ": "␠" }[letter] ?? letter),
      () => state.data.options.some(({ character }) => COMPOSED.test(character)),
    )
  }

  const options = JSON.stringify(data.options)
  if (state.options !== options) {
    state.options = options
    find(".options").replaceChildren(
      ...data.options.map(({ character, shown, name }) => {
        const button = document.createElement("button")
        button.type = "button"
        button.dir = "auto"
        write(button, [shown])
        button.setAttribute("aria-label", name)
        return button
      }),
    )
  }
  find(".options").querySelectorAll("button").forEach((button, i) => {
    button.disabled = data.over
    button.onclick = (event) => {
      state.make(data.options[i].character, data.options[i].shown)
      if (event.detail && hasMouse()) field.focus({ preventScroll: true }) // a key that pressed it is no click: 0
    }
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
  } else if (state.sent === null && !data.over) {
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
      piece(answer, "truth", [data.last.truth])
    }
    find(".yours").textContent = data.last ? data.last.yours : ""
    find(".bet").textContent = data.last ? data.last.bet : ""
  }
  find(".score").textContent = data.score

  // The field takes keys at once, unless the person is typing elsewhere: after a click on one of our buttons the focus is
  // there or nowhere.
  const active = document.activeElement
  const isOurs = active?.tagName === "BUTTON" && (isNew || active.closest(".st-key-guess-fold"))
  if ((isNew || isOtherTurn) && !data.over && hasMouse() && (active === document.body || isOurs)) {
    field.focus({ preventScroll: true })
  }
  if (state.sent === null) state.send()
}
