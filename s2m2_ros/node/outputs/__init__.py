"""From what the pipeline computed to messages on topics."""
