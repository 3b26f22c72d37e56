// What a person has chosen, on its way to the server: it is shown at once, sent soon, and sent once more where nothing
// comes back, for of two messages that come close on each other the server may lose one.

const PATIENCE = 2000 // milliseconds that a choice stands before the server has confirmed it
const AGAIN = 700 // milliseconds after which it is sent once more
const PACE = 120 // milliseconds between two choices

class Choice {
  #wish = null
  #wished = 0
  #isTold = false
  #sent = 0
  #timer = null

  // Each time the component is drawn: what the server says is chosen, and the function that tells it another.
  hear(confirmed, tell) {
    this.confirmed = confirmed
    this.tell = tell
    if (this.#isTold && this.#wish === confirmed) this.#wish = null
  }

  get isOpen() {
    return this.#wish !== null && Date.now() - this.#wished < PATIENCE
  }

  get shown() {
    return this.isOpen ? this.#wish : this.confirmed
  }

  // `element` is a part of the component; when it has left the page, nothing more is sent.
  make(value, element) {
    this.#wish = value
    this.#wished = Date.now()
    this.#isTold = false
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#send(element), Math.max(0, this.#sent + PACE - Date.now()))
  }

  #send(element) {
    if (!this.isOpen || !element.isConnected) return
    this.#sent = Date.now()
    this.#isTold = true
    this.tell(this.#wish)
    this.#timer = setTimeout(() => this.#send(element), AGAIN)
  }
}
