"""The pages for people: the chat, the status, and the way in; rendered here, with no build step."""
