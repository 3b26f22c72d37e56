// A user's choice on its way to the server: it is shown at once, sent soon, and resent if no answer comes, because the server may lose one of two messages in quick succession.

const PATIENCE = 2000 // milliseconds for which a choice is shown before the server has confirmed it
const RESEND = 700 // milliseconds after which it is sent once more
const PACE = 120 // milliseconds between two messages

class Choice {
  #wish = null
  #wishedAt = 0
  #isSent = false
  #sentAt = 0
  #timer = null

  // Called on each draw: what the server says is chosen, and the function that sends it another choice.
  update(confirmed, send) {
    this.confirmed = confirmed
    this.send = send
    if (this.#isSent && this.#wish === confirmed) this.#wish = null
  }

  get isOpen() {
    return this.#wish !== null && Date.now() - this.#wishedAt < PATIENCE
  }

  get shown() {
    return this.isOpen ? this.#wish : this.confirmed
  }

  // `element` is a part of the component; once it has left the page, nothing more is sent.
  make(value, element) {
    this.#wish = value
    this.#wishedAt = Date.now()
    this.#isSent = false
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#deliver(element), Math.max(0, this.#sentAt + PACE - Date.now()))
  }

  #deliver(element) {
    if (!this.isOpen || !element.isConnected) return
    this.#sentAt = Date.now()
    this.#isSent = true
    this.send(this.#wish)
    this.#timer = setTimeout(() => this.#deliver(element), RESEND)
  }
}
