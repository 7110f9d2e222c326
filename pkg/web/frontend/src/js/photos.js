import { element } from './dom.js'

const most = 5
const side = 1600 // pixels, the longer one
const enough = 4e5 // bytes of one photo
const mostWhole = 6e6 // bytes of an original: five of them still fit into one report
const qualities = [0.8, 0.65, 0.5, 0.35]

// photos lets somebody take or choose photos, shows them, and keeps them in
// list, each made small and without where and with what it was taken, and whole
// as it came. changed is called when list did.
export default function photos (group, list, changed) {
  const input = group.querySelector('input[type=file]')
  const shown = group.querySelector('ul')
  const problem = group.querySelector('[role=status]')
  const evidence = group.querySelector('.app-tile')
  // A second input, because Chrome on Android offers no camera for photos alone.
  const camera = element('input', { type: 'file', accept: 'image/*', capture: 'environment', hidden: true })
  input.after(camera)
  input.hidden = true
  input.disabled = camera.disabled = true // nothing of them goes with the form
  const buttons = group.querySelectorAll('button')
  buttons[0].id = input.id // what is wrong with photos leads there now
  input.removeAttribute('id')
  buttons.forEach((button, n) => {
    const from = n ? input : camera
    button.onclick = () => { from.disabled = false; from.click(); from.disabled = true }
    from.onchange = () => add([...from.files]).finally(() => { from.value = '' })
  })

  async function add (files) {
    problem.textContent = ''
    for (const file of files) {
      if (list.length === most) {
        problem.textContent = problem.dataset.most
        break
      }
      try {
        list.push({ small: await shrink(file), whole: file.size > mostWhole ? undefined : await file.arrayBuffer() })
      } catch {
        problem.textContent = problem.dataset.unread
      }
      draw()
    }
    changed()
  }

  function draw () {
    evidence.hidden = !list.length
    shown.replaceChildren(...list.map(({ small }, n) => {
      const image = element('img', { alt: shown.dataset.alt.replace('%d', n + 1), src: URL.createObjectURL(new Blob([small], { type: 'image/jpeg' })) })
      image.onload = () => URL.revokeObjectURL(image.src)
      const button = element('button', { type: 'button', className: 'app-link-button' }, shown.dataset.remove.replace('%d', n + 1))
      button.onclick = () => { list.splice(n, 1); draw(); changed(); buttons[0].focus() }
      return element('li', {}, image, button)
    }))
  }
  draw()
}

// shrink draws a photo anew, smaller and the right way up. Of what a camera
// wrote beside the picture nothing is left.
export async function shrink (file) {
  const bitmap = await createImageBitmap(file, { imageOrientation: 'from-image' })
  const scale = Math.min(1, side / Math.max(bitmap.width, bitmap.height))
  const canvas = element('canvas', { width: Math.max(1, Math.round(bitmap.width * scale)), height: Math.max(1, Math.round(bitmap.height * scale)) })
  canvas.getContext('2d').drawImage(bitmap, 0, 0, canvas.width, canvas.height)
  bitmap.close()
  for (const quality of qualities) {
    const blob = await new Promise(resolve => canvas.toBlob(resolve, 'image/jpeg', quality))
    if (blob.size <= enough || quality === qualities.at(-1)) return blob.arrayBuffer()
  }
}
