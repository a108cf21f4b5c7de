"""How a team runs it: images, pools, rights; and the whole thing on one machine (`local`)."""
