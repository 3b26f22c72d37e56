// Turns what is typed into a field into letters. Dead keys and input methods compose a letter before it is finished. The
// keyboard of a phone may compose a whole word until the next space: there a letter counts as soon as the next one follows,
// or after a pause.

const PAUSE = 700 // milliseconds

const GRAPHEMES = new Intl.Segmenter(undefined, { granularity: "grapheme" })
const lettersOf = (text) => Array.from(GRAPHEMES.segment(text), ({ segment }) => segment)

// `type` is called with each letter, "\n" for Enter. Of several letters at once, pasted or corrected, only the first counts.
// `isComposed` says whether the text is in a script in which a letter may still change after a pause.
function listen(field, type, isComposed) {
  let taken = "" // the part of the composed text whose letters were reported already
  let isPhone = false
  let pausing = null

  const take = (text) => {
    field.value = ""
    const [letter] = lettersOf(text)
    if (letter) type(letter)
  }

  const compose = (text) => {
    clearTimeout(pausing)
    if (!isPhone || isComposed()) return // until it is finished, it may become another letter
    if (!text.startsWith(taken)) taken = text // the keyboard corrected it
    const [letter, next, ...more] = lettersOf(text.slice(taken.length))
    if (!letter || more.length) return
    const count = () => {
      taken += letter
      type(letter)
    }
    if (next) {
      count()
      compose(text)
    } else pausing = setTimeout(count, PAUSE)
  }

  field.addEventListener("keydown", (event) => {
    isPhone = event.key === "Unidentified"
    const isComposing = event.isComposing || event.keyCode === 229
    if (event.repeat && event.key.length === 1) event.preventDefault() // a key that is held down is one letter
    if (event.key !== "Enter" || isComposing) return
    event.preventDefault()
    if (!event.repeat) type("\n")
  })
  field.addEventListener("beforeinput", (event) => {
    if (event.inputType === "insertLineBreak") type("\n") // Enter, from a keyboard that does not name its keys
  })
  field.addEventListener("compositionstart", () => {
    taken = ""
  })
  field.addEventListener("compositionend", () => {
    clearTimeout(pausing)
    const rest = field.value.startsWith(taken) ? field.value.slice(taken.length) : ""
    take(taken && lettersOf(rest).length > 1 ? "" : rest) // the keyboard completed or corrected a word: no letter was typed
    taken = ""
  })
  field.addEventListener("input", (event) => (event.isComposing ? compose(field.value) : take(field.value)))
}
