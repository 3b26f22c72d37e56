// Closes Streamlit's sidebar on a phone, where it covers the page, once the page or the run in `data` has changed.

const NARROWEST = 768 // pixels; Streamlit's sidebar covers narrower pages

export default function ({ data, parentElement: root }) {
  const place = root.querySelector("i")
  const isOther = place.about !== undefined && place.about !== data.about
  place.about = data.about
  if (isOther && window.innerWidth < NARROWEST)
    document.querySelector("[data-collapsed=false] [data-testid=stSidebarCollapseButton] button")?.click()
}
