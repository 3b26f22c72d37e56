// A button that plays the snapshots of a run, and a slider with one place for each, shared by components that have all
// of them: nothing of it goes to the server. It expects .player with a button, an input of type range and an output.

const PACE_OF_PLAY = 700 // milliseconds for one snapshot
const ASK_AGAIN = 500 // milliseconds after which the server is asked for the snapshots that were not ready

const isStill = () => matchMedia("(prefers-reduced-motion: reduce)").matches

class Player {
  #chosen = null // the step where the user went; null follows the page
  #playing = null
  #asking = null

  // `show` is called whenever another snapshot is to be drawn.
  constructor(root, show) {
    this.button = root.querySelector(".player button")
    this.slider = root.querySelector(".player input")
    this.output = root.querySelector(".player output")
    this.show = show
    this.steps = []
    this.button.onclick = () => (this.isPlaying ? this.pause() : this.play())
    this.slider.oninput = () => {
      const wanted = Number(this.slider.value)
      this.pause()
      this.#goTo(wanted)
    }
  }

  get isPlaying() {
    return this.#playing !== null
  }

  // The number of the snapshot on show.
  get at() {
    const { steps } = this
    if (this.#chosen === null) return this.moment
    return Math.max(0, steps.findLastIndex((step) => step <= this.#chosen))
  }

  // On each draw: the steps of the snapshots, a note on each, the number of the one that the page shows, and what the
  // page shows: when that is another moment than before, it is shown here too. Asks again while it is not complete.
  update({ steps, notes, moment, page, isComplete }, ask) {
    if (page !== this.page && !this.isPlaying) this.#chosen = null
    Object.assign(this, { steps, notes, moment, page, isComplete })
    this.slider.max = String(Math.max(1, steps.length - 1))
    this.button.disabled = this.slider.disabled = steps.length < 2
    clearTimeout(this.#asking)
    if (!isComplete) this.#asking = setTimeout(() => this.slider.isConnected && ask(), ASK_AGAIN)
    this.#label()
  }

  // From the first snapshot if the last is on show, else from where it is.
  play() {
    if (this.at === this.steps.length - 1) this.#goTo(0)
    this.#playing = setInterval(() => this.#next(), PACE_OF_PLAY)
    this.#label()
  }

  pause() {
    clearInterval(this.#playing)
    this.#playing = null
    this.#label()
  }

  #next() {
    if (!this.slider.isConnected) this.pause()
    else if (this.at < this.steps.length - 1) this.#goTo(this.at + 1)
    else if (this.isComplete) this.pause()
  }

  #goTo(i) {
    this.#chosen = this.steps[i]
    this.#label()
    this.show()
  }

  #label() {
    const words = this.notes[this.at] ?? ""
    this.slider.value = String(this.at)
    this.slider.setAttribute("aria-valuetext", words)
    if (this.output.textContent !== words) this.output.textContent = words
    this.button.textContent = this.isPlaying ? "❚❚" : "▶"
    this.button.setAttribute("aria-label", this.isPlaying ? "Pause" : "Play all snapshots")
  }
}
