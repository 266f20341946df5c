from lookwhy.towers.image_tower import ImageTower, build_tower
from lookwhy.towers.incremental import IncrementalOcclusion
from lookwhy.towers.memory import Memory
from lookwhy.towers.recipe import ImageRecipe
from lookwhy.towers.tower import Tower

__all__ = ["ImageRecipe", "ImageTower", "IncrementalOcclusion", "Memory", "Tower", "build_tower"]
