// Keeps what a person writes on the lab sheet: in this browser, in a saved copy, and on paper.

const sheet = document.getElementById("sheet")
const fields = [...document.querySelectorAll(".own")]
const key = `MicroLLM lab sheet ${sheet.dataset.key} ${location.href}`

// Browsers without "plaintext-only" paste plain text too.
for (const field of fields) {
  if (field.contentEditable !== "plaintext-only") {
    field.contentEditable = "true"
    field.onpaste = (event) => {
      event.preventDefault()
      document.execCommand("insertText", false, event.clipboardData.getData("text/plain"))
    }
  }
  field.oninput = keep
}

function keep() {
  try {
    localStorage.setItem(key, JSON.stringify(fields.map((field) => field.innerText)))
  } catch {
    document.getElementById("kept").textContent = "This browser stores nothing: save a copy before you close this page."
  }
}

try {
  const kept = JSON.parse(localStorage.getItem(key) ?? "[]")
  fields.forEach((field, i) => typeof kept[i] === "string" && (field.innerText = kept[i]))
} catch {
  // nothing readable was stored
}

document.getElementById("print").onclick = () => print()
document.getElementById("save").onclick = () => {
  const link = document.createElement("a")
  link.href = URL.createObjectURL(new Blob([`<!doctype html>\n${document.documentElement.outerHTML}`], { type: "text/html" }))
  link.download = `${document.title.replace(/[^\p{L}\p{N}]+/gu, "-")}.html`
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000)
}
