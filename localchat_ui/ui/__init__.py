"""The page. Nothing here knows how a reply is made; everything here is about how it is seen."""
