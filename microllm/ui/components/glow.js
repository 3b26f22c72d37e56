// The colors of attention weights, 0-255: from the background to one hue by the square root, so that 1 % is visible.
// `colors` has the hue for light and for dark mode; ink is black or white, whichever is more readable.

const rgb = (color) => {
  const context = document.createElement("canvas").getContext("2d")
  context.fillStyle = color.trim()
  const hex = context.fillStyle
  return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16))
}

// WCAG 2.2, relative luminance
const luminance = (color) => {
  const [r, g, b] = color.map((part) => (part <= 10 ? part / 3294 : ((part / 255 + 0.055) / 1.055) ** 2.4))
  return 0.2126 * r + 0.7152 * g + 0.0722 * b
}

function glow(element, colors) {
  const theme = getComputedStyle(element).getPropertyValue("--st-background-color") || "#ffffff"
  const ground = rgb(theme)
  const isDark = luminance(ground) < 0.18
  const hue = rgb(isDark ? colors.dark : colors.light)
  const table = Array.from({ length: 256 }, (_, share) => {
    const part = Math.sqrt(share / 255)
    return ground.map((low, i) => Math.round(low + (hue[i] - low) * part))
  })
  return {
    key: theme,
    isDark,
    table,
    css: table.map((color) => `rgb(${color.join(" ")})`),
    ink: table.map((color) => (luminance(color) > 0.179 ? "#000000" : "#ffffff")),
  }
}

// The bytes of a base64 text from Python.
const bytes = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0))

// A share from 0 to 1 as a whole percentage, as `percent` in ui/words.py has it.
const inPercent = (share) => (share > 0 && share <= 0.005 ? "less than 1\u00a0%" : `${Math.round(100 * share)}\u00a0%`)

// The same for a byte. A byte cannot tell 0.1 % from 0, and a softmax gives no 0.
const percent = (share) => inPercent(Math.max(1, share) / 255)

// Make a canvas of these pixels, row after row; `colorOf(i)` is the color of the i-th.
function fill(canvas, width, height, colorOf) {
  canvas.width = width
  canvas.height = height
  const pen = canvas.getContext("2d")
  const image = pen.createImageData(width, height)
  for (let i = 0; i < width * height; i++) {
    const color = colorOf(i)
    image.data[4 * i] = color[0]
    image.data[4 * i + 1] = color[1]
    image.data[4 * i + 2] = color[2]
    image.data[4 * i + 3] = 255
  }
  pen.putImageData(image, 0, 0)
}
