"""How good translations are: sacreBLEU's metrics, whether a difference is significant, and where the errors lie."""
