"""The network: a U-Net, what it is trained to, and how latents are drawn with it."""
