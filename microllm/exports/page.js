// The page around the model: it writes, and shows the probabilities of the next character and where the heads look.

const element = (id) => document.getElementById(id)
const { config, vocab, shown, prompt, sentence, weights: tensors } = JSON.parse(element("about-the-model").textContent)
const model = new MicroLLM(config, vocab, unpacked(element("weights").textContent, tensors))
const context = new Context(model)

const CHARACTERS = 400 // written at a time
const PACE = 80 // characters per second: fast, and one can still read along
const FRAME = 12 // milliseconds of each frame for writing, so that the page stays responsive
const BARS = 10
const isCalm = matchMedia("(prefers-reduced-motion: reduce)")

// The weights by name: `tensors` lists [name, how many numbers], in the order of the base64 text.
function unpacked(text, tensors) {
  const { buffer } = Uint8Array.from(atob(text), (character) => character.charCodeAt(0))
  let start = 0
  const next = (length) => new Float32Array(buffer, 4 * start, length, (start += length))
  return Object.fromEntries(tensors.map(([name, length]) => [name, next(length)]))
}

// ---- words

const percent = (share) => {
  if (share === 0) return "excluded"
  return share <= 0.005 ? "less than 1\u00a0%" : `${Math.round(100 * share)}\u00a0%`
}

// The name of an unknown character: its code point if it is invisible.
const named = (character) => {
  const isSeen = /[^\p{C}\p{Z}\p{M}]/u.test(character)
  return isSeen ? `“${character}”` : `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`
}

// What to tell a person about a text before the model reads it.
function remarks(text) {
  const unknown = model.unknown(text)
  const more = unknown.length > 8 ? " and others" : ""
  const names = unknown.slice(0, 8).map(named).join(", ") + more
  if (!model.encode(text).length) {
    const cause = unknown.length ? `${names} did not occur in its training text` : "There is nothing to read"
    return `${cause}: type at least one character that it knows, such as “${shown[model.encode(prompt)[0]]}”.`
  }
  return unknown.length ? `Skipped, not in its training text: ${names}` : ""
}

// ---- writing

let text = [] // the ids of the prompt and of all that was written
let promptLength = 0
let logits = null
let goal = 0 // the length at which writing ends; 0 while nothing is being written
let allowance = 0 // how many characters are due
let lastFrame = 0

const settings = () => {
  const [temperature, topK] = [Number(element("temperature").value), Number(element("top-k").value)]
  return [temperature, topK === Number(element("top-k").max) ? 0 : topK]
}

// Start over with the prompt.
function restart() {
  const typed = element("prompt").value
  element("prompt-message").textContent = remarks(typed)
  text = model.encode(typed)
  promptLength = text.length
  goal = 0
  context.clear()
  logits = text.length ? context.read(text) : null
  showText()
}

function append(id) {
  text.push(id)
  logits = context.read([id])
}

function write(length) {
  if (!logits) return
  const isIdle = !goal
  goal = Math.max(goal, text.length) + length
  if (!isIdle) return
  ;[allowance, lastFrame] = [1, performance.now()]
  requestAnimationFrame(writeOn)
  showButtons()
}

function writeOn(now) {
  if (!goal) return
  const deadline = performance.now() + FRAME
  allowance = isCalm.matches ? Infinity : Math.min(allowance + ((now - lastFrame) * PACE) / 1000, PACE)
  lastFrame = now
  while (allowance >= 1 && text.length < goal && performance.now() < deadline) {
    append(draw(probabilities(logits, ...settings())))
    allowance--
  }
  if (text.length >= goal) stop()
  else {
    if (!isCalm.matches) showText()
    requestAnimationFrame(writeOn)
  }
}

function stop() {
  goal = 0
  showText()
}

function showText() {
  const string = (ids) => ids.map((id) => vocab[id]).join("")
  element("begun").textContent = string(text.slice(0, promptLength))
  element("written").textContent = string(text.slice(promptLength))
  element("paper").scrollTop = element("paper").scrollHeight
  showButtons()
  showBars()
}

function showButtons() {
  element("write").textContent = goal ? "Stop" : "Write"
  for (const id of ["write", "continue"]) element(id).disabled = !logits
}

const bars = Array.from({ length: Math.min(BARS, vocab.length) }, () => {
  const item = element("bars").appendChild(document.createElement("li"))
  const button = item.appendChild(document.createElement("button"))
  button.type = "button"
  const [character, track, share] = ["character", "track", "share"].map((name) => {
    const part = button.appendChild(document.createElement("span"))
    part.className = name
    return part
  })
  return { button, character, share, bar: track.appendChild(document.createElement("i")) }
})

function showBars() {
  if (!logits) return
  const chances = probabilities(logits, ...settings())
  const order = Array.from(logits.keys()).sort((a, b) => logits[b] - logits[a])
  bars.forEach(({ button, character, share, bar }, i) => {
    character.textContent = shown[order[i]]
    share.textContent = percent(chances[order[i]])
    bar.style.width = `${100 * chances[order[i]]}%`
    button.onclick = () => {
      append(order[i])
      if (goal) goal++
      showText()
    }
  })
}

function showSettings() {
  const [temperature, topK] = settings()
  element("temperature-shown").textContent = temperature.toFixed(2)
  element("top-k-shown").textContent = topK || `all ${vocab.length.toLocaleString("en")}`
  showBars()
}

element("prompt").value = prompt
element("prompt").oninput = restart
element("write").onclick = () => {
  if (goal) return stop()
  restart()
  write(CHARACTERS)
}
element("continue").onclick = () => write(CHARACTERS)
element("top-k").max = element("top-k").value = Math.min(vocab.length, 100)
element("temperature").oninput = element("top-k").oninput = showSettings

// ---- where the heads look

let seen = [] // the ids of the sentence that the model sees, at most block_size
let patterns = []
let chosen = firstHead()

function firstHead() {
  for (let layer = 0; layer < config.n_layer; layer++) {
    for (let head = 0; head < config.n_head; head++) if (!model.isSilenced(layer, head)) return [layer, head]
  }
  return [0, 0]
}

const maps = Array.from({ length: config.n_layer }, (_, layer) =>
  Array.from({ length: config.n_head }, (_, head) => {
    const button = element("maps").appendChild(document.createElement("button"))
    button.type = "button"
    const canvas = button.appendChild(document.createElement("canvas"))
    const label = button.appendChild(document.createElement("span"))
    label.textContent = `${layer + 1}.${head + 1}`
    button.setAttribute("aria-label", headName(layer, head))
    button.classList.toggle("silenced", model.isSilenced(layer, head))
    button.onclick = () => {
      chosen = [layer, head]
      showHead()
    }
    return { button, canvas }
  }),
)
element("maps").style.setProperty("--heads", config.n_head)

function headName(layer, head) {
  const silenced = model.isSilenced(layer, head) ? ", silenced: its output is always zero" : ""
  return `Layer ${layer + 1}, head ${head + 1}${silenced}`
}

function read() {
  const typed = element("sentence").value
  const all = model.encode(typed)
  const size = config.block_size
  const cut = all.length > size ? `The model sees ${size} characters at a time: these are the last ${size}.` : ""
  element("sentence-message").textContent = [remarks(typed), cut].filter(Boolean).join(" ")
  if (!all.length) return
  seen = all.slice(-size)
  patterns = model.forward(seen)[1]
  element("looking").max = element("looking").value = seen.length
  showAll()
}

// A pixel for each pair of characters: the color of attention, the more opaque the more attention. The opacity is the
// square root of the share, so that 1 % can be seen.
function paint(canvas, pattern) {
  canvas.width = canvas.height = seen.length
  const pen = canvas.getContext("2d")
  const color = getComputedStyle(document.documentElement).getPropertyValue("--attention").trim() // such as #009E73
  const [red, green, blue] = [1, 3, 5].map((i) => parseInt(color.slice(i, i + 2), 16))
  const image = pen.createImageData(seen.length, seen.length)
  pattern.forEach((row, query) =>
    row.forEach((share, key) => {
      image.data.set([red, green, blue, 255 * Math.sqrt(share)], 4 * (query * seen.length + key))
    }),
  )
  pen.putImageData(image, 0, 0)
}

function showAll() {
  if (!patterns.length) return
  maps.forEach((row, layer) => row.forEach(({ canvas }, head) => paint(canvas, patterns[layer][head])))
  showHead()
}

const MARGIN = 22 // pixels for the labels of the large map
const cellSize = () => {
  const room = element("map").parentElement.clientWidth - MARGIN
  return Math.max(9, Math.min(40, Math.floor(room / seen.length)))
}

function showHead() {
  const [layer, head] = chosen
  maps.forEach((row, i) => row.forEach(({ button }, j) => button.setAttribute("aria-pressed", i === layer && j === head)))
  element("head-title").textContent = headName(layer, head)
  const [canvas, cell] = [element("map"), cellSize()]
  const size = MARGIN + cell * seen.length
  canvas.style.width = canvas.style.height = `${size}px`
  canvas.width = canvas.height = Math.round(size * devicePixelRatio)
  const pen = canvas.getContext("2d")
  const style = getComputedStyle(canvas)
  pen.scale(devicePixelRatio, devicePixelRatio)
  pen.imageSmoothingEnabled = false
  pen.drawImage(maps[layer][head].canvas, MARGIN, MARGIN, size - MARGIN, size - MARGIN)
  pen.fillStyle = pen.strokeStyle = style.color
  pen.font = `${Math.min(14, cell)}px ${style.fontFamily}`
  pen.textAlign = "center"
  pen.textBaseline = "middle"
  seen.forEach((id, i) => {
    const middle = MARGIN + (i + 0.5) * cell
    pen.fillText(shown[id], MARGIN / 2, middle, MARGIN)
    pen.fillText(shown[id], middle, MARGIN / 2, cell)
  })
  pen.globalAlpha = 0.25
  pen.strokeRect(MARGIN - 0.5, MARGIN - 0.5, size - MARGIN, size - MARGIN)
  pen.globalAlpha = 1
  const query = Number(element("looking").value) - 1
  pen.lineWidth = 1.5
  pen.strokeRect(MARGIN, MARGIN + query * cell, size - MARGIN - 1, cell)
  showLooking(query)
}

const inQuotes = (i) => `“${shown[seen[i]]}” (${i + 1})`

// The sentence as the chosen head sees it from one character, and the same in words.
function showLooking(query) {
  const row = patterns[chosen[0]][chosen[1]][query]
  element("looking-shown").textContent = inQuotes(query)
  element("glowing").replaceChildren(
    ...seen.map((id, i) => {
      const character = document.createElement("span")
      character.textContent = shown[id]
      character.style.setProperty("--share", `${100 * Math.sqrt(row[i] ?? 0)}%`)
      character.classList.toggle("looking", i === query)
      character.onclick = () => look(i)
      return character
    }),
  )
  const most = row.indexOf(Math.max(...row))
  element("reading").textContent = `${inQuotes(query)} attends most to ${inQuotes(most)}: ${percent(row[most])}`
}

function look(query) {
  element("looking").value = query + 1
  showHead()
}

element("looking").oninput = showHead
element("map").onclick = ({ offsetY }) => {
  const query = Math.floor((offsetY - MARGIN) / cellSize())
  if (query >= 0 && query < seen.length) look(query)
}
element("map").onpointermove = ({ offsetX, offsetY }) => {
  const [key, query] = [offsetX, offsetY].map((offset) => Math.floor((offset - MARGIN) / cellSize()))
  const share = patterns[chosen[0]][chosen[1]][query]?.[key]
  if (share !== undefined) {
    element("reading").textContent = `${inQuotes(query)} attends to ${inQuotes(key)}: ${percent(share)}`
  }
}
element("sentence").value = sentence
element("sentence").oninput = read
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showAll)
document.fonts.load("14px Signs", "␠⏎⇥").then(showAll)
new ResizeObserver(() => patterns.length && showHead()).observe(element("map").parentElement)

// ---- for tests and tinkerers

function known(text) {
  const unknown = model.unknown(text)
  if (unknown.length) throw new RangeError(`The model does not know ${unknown.map(named).join(", ")}.`)
  if (!text) throw new RangeError("The text is empty: give at least one character.")
  return model.encode(text)
}

window.microllm = {
  // The characters, in the order of their ids; and the model, to take apart.
  vocab,
  model,
  // The logits of the character after `text`, in the order of `vocab`. Only the last block_size characters are used.
  logits: (text) => Array.from(new Context(model).read(known(text))),
  // `text` and `length` characters more.
  generate(text, length = CHARACTERS, { temperature = 0.8, topK = 0 } = {}) {
    const [ids, memory] = [known(text), new Context(model)]
    for (let next = memory.read(ids), i = 0; i < length; i++) {
      ids.push(draw(probabilities(next, temperature, topK)))
      next = memory.read(ids.slice(-1))
    }
    return ids.map((id) => vocab[id]).join("")
  },
}

restart()
showSettings()
write(CHARACTERS)
read()
