// What is typed into a field, as letters: dead keys and input methods compose a letter before it is one. The keyboard of a
// phone may compose a whole word and end it at the next blank: there a letter counts once the next one follows it, or after
// a rest.

const REST = 700 // milliseconds

const GRAPHEMES = new Intl.Segmenter(undefined, { granularity: "grapheme" })
const lettersOf = (text) => Array.from(GRAPHEMES.segment(text), ({ segment }) => segment)

// `type` is called with each letter, "\n" for Enter. What comes in one piece of several letters, pasted or corrected, is one
// letter: its first. `isComposed` says whether the text is of a script in which a letter that rests may still change.
function listen(field, type, isComposed) {
  let taken = "" // the beginning of what is being composed, as far as its letters have been typed
  let isPhone = false
  let resting = null

  const take = (text) => {
    field.value = ""
    const [letter] = lettersOf(text)
    if (letter) type(letter)
  }

  const compose = (text) => {
    clearTimeout(resting)
    if (!isPhone || isComposed()) return // what a dead key or an input method shows may become another letter until it is finished
    if (!text.startsWith(taken)) taken = text // it was corrected
    const [letter, next, ...more] = lettersOf(text.slice(taken.length))
    if (!letter || more.length) return
    const count = () => {
      taken += letter
      type(letter)
    }
    if (next) {
      count()
      compose(text)
    } else resting = setTimeout(count, REST)
  }

  field.addEventListener("keydown", (event) => {
    isPhone = event.key === "Unidentified"
    const isComposing = event.isComposing || event.keyCode === 229
    if (event.repeat && event.key.length === 1) event.preventDefault() // a key that is held is one letter
    if (event.key !== "Enter" || isComposing) return
    event.preventDefault()
    if (!event.repeat) type("\n")
  })
  field.addEventListener("beforeinput", (event) => {
    if (event.inputType === "insertLineBreak") type("\n") // Enter, where the key had no name
  })
  field.addEventListener("compositionstart", () => {
    taken = ""
  })
  field.addEventListener("compositionend", () => {
    clearTimeout(resting)
    const rest = field.value.startsWith(taken) ? field.value.slice(taken.length) : ""
    take(taken && lettersOf(rest).length > 1 ? "" : rest) // a word was completed or corrected: no letter was typed
    taken = ""
  })
  field.addEventListener("input", (event) => (event.isComposing ? compose(field.value) : take(field.value)))
}
