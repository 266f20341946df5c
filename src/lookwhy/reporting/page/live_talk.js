// The server that the page came from: it keeps no state of a page, only the last images it was sent.

/** What the server, or this page, has to say to whoever asked. */
class Told extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

/** @returns {Promise<any>} */
async function send(path, body) {
  const json = !(body instanceof Blob);
  let reply, content;
  try {
    reply = await fetch(path, { method: "POST", body: json ? JSON.stringify(body) : body, headers: { "Content-Type": json ? "application/json" : "application/octet-stream" } });
    content = await reply.json();
  } catch {
    throw new Told("The server does not answer. Is it still running?");
  }
  if (!reply.ok) throw new Told(content.error ?? `The server refused (${reply.status}).`, reply.status);
  return content;
}

/** An image that the server has looked at. */
class SentImage {
  /** @param {Blob} file */
  static async send(file) {
    if (file.size > report.maxBytes) {
      throw new Told(`expected an image of at most ${report.maxBytes / 2 ** 20} MB, found ${(file.size / 2 ** 20).toFixed(1)} MB; choose a smaller file`);
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

  /** Asks about the image; one that the server no longer holds is sent again. */
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
