// Calls to the server. The server keeps no state of a page, only the most recent images.

/** A refusal by the server or by this page, in words for the reader; `status` is HTTP's, or 0. */
class Refusal extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

/** Posts a call, an image file (Blob) or JSON, and returns the JSON of its reply. */
async function send(path, body) {
  const json = !(body instanceof Blob);
  let reply, content;
  try {
    reply = await fetch(path, { method: "POST", body: json ? JSON.stringify(body) : body, headers: { "Content-Type": json ? "application/json" : "application/octet-stream" } });
    content = await reply.json();
  } catch {
    throw new Refusal("The server does not answer. Is it still running?");
  }
  if (!reply.ok) throw new Refusal(content.error ?? `The server refused (${reply.status}).`, reply.status);
  return content;
}

/** An image that the server holds. */
class SentImage {
  static async send(file) {
    if (file.size > report.maxBytes) {
      throw new Refusal(`expected an image of at most ${report.maxBytes / 2 ** 20} MB, found ${(file.size / 2 ** 20).toFixed(1)} MB; choose a smaller file`);
    }
    const found = await send("image", file);
    const picture = new Image();
    picture.src = found.picture;
    await picture.decode();
    return new SentImage(file, found, picture);
  }

  constructor(file, { image, width, height }, picture) {
    Object.assign(this, { file, image, width, height, picture });
  }

  /** Makes a call about the image; sends the image again if the server no longer holds it (status 410). */
  async ask(path, body) {
    try {
      return await send(path, { image: this.image, ...body });
    } catch (error) {
      if (error.status !== 410) throw error;
      await send("image", this.file);
      return send(path, { image: this.image, ...body });
    }
  }
}
