//! Chat templates: messages to the text a model was trained on.
