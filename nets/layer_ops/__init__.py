"""The layers behind `nets.layers`, one module a kind."""
