// A QR code in front of the camera, where the browser can read one.

import { html } from "./parts.js";

const LOOK_MS = 200;

export const canScan = () => "BarcodeDetector" in window && navigator.mediaDevices?.getUserMedia !== undefined;

// Looks until a text that begins with `prefix` is seen; the signal ends it, and the camera is off in any case.
export async function scan(prefix, signal) {
  const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  const off = () => stream.getTracks().forEach((track) => track.stop());
  try {
    const detector = new window.BarcodeDetector({ formats: ["qr_code"] });
    while (!signal.aborted) {
      const video = document.getElementById("camera");
      if (video !== null && video.srcObject === null) {
        video.srcObject = stream;
        await video.play();
      }
      const found = video === null ? [] : await detector.detect(video).catch(() => []); // no picture has come yet
      const text = found.map((each) => each.rawValue).find((each) => each.toLowerCase().startsWith(prefix));
      if (text !== undefined) return text;
      await new Promise((done) => setTimeout(done, LOOK_MS));
    }
  } finally {
    off();
  }
  throw new DOMException("given up", "AbortError");
}

export const view = () => html`<video id="camera" class="qr" muted playsinline aria-label="What the camera sees"></video>
  <p class="hint">Hold the QR code of the other device in front of the camera.</p>`;
